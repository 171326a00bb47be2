/** As far as browsers have it (Network Information API): Chromium, its `type` on phones alone. */
interface NetworkInformation extends EventTarget {
  readonly type?: string;
}

/**
 * Calls back when the browser says that the network is another one, until the returned function is
 * called. That the quality of the same network has changed is told by the same event, and passed over.
 */
export function onNetworkChange(changed: () => void): () => void {
  const { connection } = navigator as Navigator & { connection?: NetworkInformation };
  let type = connection?.type;
  const look = (): void => {
    const before = type;
    type = connection?.type;
    if (type !== before && type !== 'none') changed();
  };
  window.addEventListener('online', changed);
  connection?.addEventListener('change', look);
  return () => {
    window.removeEventListener('online', changed);
    connection?.removeEventListener('change', look);
  };
}
