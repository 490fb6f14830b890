/**
 * Tells whether a `Host` header names this server. A page of another site can make a browser call a loopback address under a name
 * of its own (DNS rebinding), and only this header gives it away. The port is not looked at: tunnels change it.
 */
export function createHostGuard(
  listenHost: string,
  allowedHosts: readonly string[],
): (host: string | undefined) => boolean {
  const names = new Set(["localhost", "127.0.0.1", "[::1]", ...allowedHosts]);
  if (listenHost !== "loopback") names.add(listenHost.includes(":") ? `[${listenHost.toLowerCase()}]` : listenHost);
  return (host) => {
    const name = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+?)\.?(?::\d{1,5})?$/i.exec(host ?? "")?.[1];
    return name !== undefined && names.has(name.toLowerCase());
  };
}
