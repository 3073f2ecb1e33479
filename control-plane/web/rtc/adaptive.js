// Owns telling the room what we look at: the displayed size of every subscribed video in device
// pixels, which are not visible at all, and which one goes first because the person pinned it. Debounced, and silent
// about small changes.

const DEBOUNCE_MS = 200;
const SLACK = 0.1;
// livekit.UpdateTrackSettings.priority
const FIRST = 1;
const NOT_GIVEN = 0;

export class Adaptive {
  #send;
  #wanted = new Map();
  #told = new Map();
  #timer;
  #listen = new AbortController();

  /** `send(settings)` takes a livekit.UpdateTrackSettings. */
  constructor(send) {
    this.#send = send;
    document.addEventListener('visibilitychange', () => this.#schedule(), { signal: this.#listen.signal });
  }

  stop() {
    this.#listen.abort();
    clearTimeout(this.#timer);
  }

  /** `sizes`: Map from track sid to `{width, height, isPinned}` in device pixels, or undefined when out of view. */
  update(sizes) {
    this.#wanted = sizes;
    this.#schedule();
  }

  /** Sids of the tracks we asked the room not to send, for a sync state. */
  disabledSids() {
    return [...this.#told].filter(([, told]) => told.disabled).map(([sid]) => sid);
  }

  /** Says everything again; after a reconnect. */
  restart() {
    this.#told.clear();
    this.#schedule();
  }

  #schedule() {
    this.#timer ??= setTimeout(() => this.#flush(), DEBOUNCE_MS);
  }

  #flush() {
    this.#timer = undefined;
    for (const sid of this.#told.keys()) if (!this.#wanted.has(sid)) this.#told.delete(sid);
    for (const [sid, size] of this.#wanted) {
      const next = document.hidden || !size ? { disabled: true } : { disabled: false, ...size };
      const told = this.#told.get(sid);
      if (told && isAlike(told, next)) continue;
      this.#told.set(sid, next);
      const { disabled, width = 0, height = 0, isPinned } = next;
      const priority = isPinned ? FIRST : NOT_GIVEN;
      this.#send(disabled ? { trackSids: [sid], disabled } : { trackSids: [sid], disabled, width, height, fps: 0, priority });
    }
  }
}

function isAlike(a, b) {
  if (a.disabled || b.disabled) return a.disabled === b.disabled;
  const near = (x, y) => Math.abs(x - y) <= SLACK * Math.max(x, y);
  return near(a.width, b.width) && near(a.height, b.height) && a.isPinned === b.isPinned;
}
