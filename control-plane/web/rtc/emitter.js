// Owns the one event mechanism of the page: named events, synchronous delivery, in order of subscription.
// A handler that throws is reported and does not keep the others from running.

export class Emitter {
  #handlers = new Map();

  /** Calls `handler` for every `name` event; returns the function that stops it. */
  on(name, handler) {
    if (!this.#handlers.has(name)) this.#handlers.set(name, new Set());
    this.#handlers.get(name).add(handler);
    return () => this.#handlers.get(name)?.delete(handler);
  }

  emit(name, ...values) {
    for (const handler of [...(this.#handlers.get(name) ?? [])]) {
      try {
        handler(...values);
      } catch (error) {
        console.error(`handler of "${name}" failed`, error);
      }
    }
  }
}
