// Owns the pace of reconnecting: how long to wait before each attempt, and when to give up.

export const GIVE_UP_MS = 40000;
const DELAYS_MS = [0, 300, 1200, 2700, 4800, 7000];

/** Wait before attempt `n` (0 is the first). */
export function delayBefore(n) {
  return DELAYS_MS[Math.min(n, DELAYS_MS.length - 1)];
}

/** Resolves after `ms`, or at once when the network comes back or `signal` aborts. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      window.removeEventListener('online', done);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    if (ms > 0) window.addEventListener('online', done);
    signal?.addEventListener('abort', done);
  });
}
