// The shells' side of completion: they hand the words over to `signalbox complete` and show what it answers.

const scripts = {
  bash: `# signalbox: completion for bash
_signalbox() {
  local line rest="$COMP_LINE" breaks="\${COMP_WORDBREAKS//[!:=@]}" stays="" i n=-1
  local -a words
  COMPREPLY=()
  # Bash breaks words at ':', '=' and '@', too: what stands together in the line is one word here.
  for ((i = 0; i <= COMP_CWORD; i++)); do
    if [[ $i -eq 0 || $rest == [[:blank:]]* || "\${COMP_WORDS[i - 1]}\${COMP_WORDS[i]}" != *[:=@]* ]]; then
      words[++n]=""
    fi
    words[n]+="\${COMP_WORDS[i]}"
    rest="\${rest#*"\${COMP_WORDS[i]}"}"
  done
  # It puts what is answered in place of what stands behind the last of them; a '@' belongs to what is replaced.
  [[ -n $breaks && \${words[n]} == *["$breaks"]* ]] && stays="\${words[n]%"\${words[n]##*["$breaks"]}"}"
  stays="\${stays%@}"
  while IFS= read -r line; do
    line="\${line%%$'\\t'*}"
    COMPREPLY+=("\${line#"$stays"}")
  done < <("\${COMP_WORDS[0]}" complete -- "\${words[@]:1}" 2>/dev/null)
  [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == *= ]] && compopt -o nospace
  return 0
}
complete -o default -F _signalbox signalbox
`,
  zsh: `#compdef signalbox
# signalbox: completion for zsh
_signalbox() {
  local line value about
  local -a plain
  while IFS= read -r line; do
    value="\${line%%$'\\t'*}"
    about="\${line#*$'\\t'}"
    plain+=("\${value//:/\\\\:}\${about:+:$about}")
  done < <("\${words[1]}" complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( \${#plain} )); then
    _describe signalbox plain
  else
    _files
  fi
}
if [ "\${funcstack[1]}" = "_signalbox" ]; then
  _signalbox "$@"
else
  compdef _signalbox signalbox
fi
`,
  fish: `# signalbox: completion for fish
function __signalbox_complete
  set -l words (commandline -opc) (commandline -ct)
  $words[1] complete -- $words[2..-1] 2>/dev/null
end
complete -c signalbox -a '(__signalbox_complete)'
`,
} as const;

/** The script that makes a shell complete the command. */
export function completionScript(shell: keyof typeof scripts): string {
  return scripts[shell];
}
