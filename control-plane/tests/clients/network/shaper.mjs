// The cable that can be made bad: starts the shaper, and speaks to it line by line. What the words mean is told in
// sfu/sim/examples/shaper.rs.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const BUILT = fileURLToPath(new URL('../../../../target/debug/examples/shaper', import.meta.url));
const PROGRAM = process.env.PLENUM_SHAPER ?? BUILT;

// Why this machine has none; null when it has.
export function obstacle() {
  if (!existsSync(PROGRAM)) return `needs the shaper: cargo build -p sfu-sim --example shaper (looked for ${PROGRAM})`;
  return existsSync('/dev/net/tun') ? null : 'needs /dev/net/tun, for the shaper';
}

export class Shaper {
  #process;
  #lines;

  // Makes the devices `near` and `far`, which the caller moves to where they belong.
  static async start(near, far) {
    const shaper = new Shaper();
    shaper.#process = spawn(PROGRAM, [near, far], { stdio: ['pipe', 'pipe', 'inherit'] });
    const failed = once(shaper.#process, 'error').then(([error]) => Promise.reject(error));
    shaper.#lines = createInterface({ input: shaper.#process.stdout })[Symbol.asyncIterator]();
    const said = await Promise.race([shaper.#next(), failed]);
    if (!said.startsWith('ready')) throw new Error(`the shaper says ${said}`);
    return shaper;
  }

  // `way`: "up" from the near end, "down" to it. Resolves to all settings of that way.
  set(way, settings) {
    return this.#ask(`${way} ${settings}`);
  }

  stats() {
    return this.#ask('stats');
  }

  async stop() {
    if (this.#process.exitCode !== null) return;
    const ended = once(this.#process, 'exit');
    this.#process.stdin.end();
    await ended;
  }

  async #ask(line) {
    this.#process.stdin.write(`${line}\n`);
    const answer = await this.#next();
    if (answer.startsWith('error')) throw new Error(`the shaper: ${answer}`);
    return answer;
  }

  async #next() {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the shaper ended');
    return value;
  }
}
