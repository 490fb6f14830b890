// Runs before the first paint, from a file because the content policy allows no inline script. src/ui/theme.svelte.ts writes the key.
(() => {
  let choice = null;
  try {
    choice = localStorage.getItem("signalbox-theme");
  } catch {
    // Storage is switched off: follow the system.
  }
  if (choice === "light" || choice === "dark") document.documentElement.dataset.theme = choice;
})();
