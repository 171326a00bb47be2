/** Handlers by event; each subscription ends with the function that `on` returned. */
export class Emitter<Events extends object> {
  readonly #handlers = new Map<keyof Events, Set<(payload: never) => void>>();

  /** Calls handler at each event until the returned function is called. */
  on<K extends keyof Events>(event: K, handler: (payload: Events[K]) => void): () => void {
    const handlers = this.#handlers.get(event) ?? new Set();
    this.#handlers.set(event, handlers);
    handlers.add(handler);
    return () => handlers.delete(handler);
  }

  emit<K extends keyof Events>(event: K, payload: Events[K]): void {
    for (const handler of [...(this.#handlers.get(event) ?? [])]) {
      (handler as (payload: Events[K]) => void)(payload);
    }
  }

  /** Ends all subscriptions. */
  clear(): void {
    this.#handlers.clear();
  }
}
