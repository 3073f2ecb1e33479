// Waiting: always for something observable, always with a deadline.

import { setTimeout as pause } from 'node:timers/promises';

const INTERVAL_MS = 100;
export const DEADLINE_MS = 30_000;

// Asks `probe` until its answer is truthy, and returns that answer. `what` completes the sentence
// "did not happen in time: …".
export async function until(what, probe, deadlineMs = DEADLINE_MS) {
  const end = Date.now() + deadlineMs;
  let last;
  for (;;) {
    last = await probe();
    if (last) return last;
    if (Date.now() > end) throw new Error(`did not happen in ${deadlineMs / 1000} s: ${what}`);
    await pause(INTERVAL_MS);
  }
}

// Waits until the number `sample` gives has stood still for `quietMs`, that is, until the thing it
// counts has stopped. A single still look proves nothing about a stream of frames.
export async function untilStill(what, sample, quietMs = 1500, deadlineMs = DEADLINE_MS) {
  let value = await sample();
  let since = Date.now();
  await until(
    what,
    async () => {
      const next = await sample();
      if (next !== value) {
        value = next;
        since = Date.now();
      }
      return Date.now() - since >= quietMs;
    },
    deadlineMs,
  );
}
