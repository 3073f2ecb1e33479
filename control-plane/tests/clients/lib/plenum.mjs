// Starts the program under test on ports of its own, and stops it. It counts as broken when it does
// not get ready, dies, does not end when told to, or panics on the way.

import { spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { until } from './until.mjs';

const READY_MS = 30_000;
const STOP_MS = 20_000;

export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer().on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

// Loopback only, but for media where that is said; it takes whatever ports are free.
const configuration = (port, media) => `
[http]
listen = "127.0.0.1:${port}"
[node.udp]
listen = ["${media}:0"]
[node.tcp]
listen = ["${media}:0"]
[node.ingress]
first_port = 0
[log]
level = "${process.env.PLENUM_TESTS_LOG ?? 'info'}"
`;

// Variables named PLENUM_… are settings to the program; those of the tests are not meant for it.
export function cleanEnvironment() {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('PLENUM_')),
  );
}

// The program under test.
export const program = (root) => process.env.PLENUM_BIN ?? `${root}target/debug/plenum`;

// Starts a command that is, or becomes, the program, with its output in `log`; resolves to { pid, log, tail,
// stop } once `isReady` says so.
export async function launch(log, command, args, isReady) {
  const output = openSync(log, 'w');
  const child = spawn(command, args, {
    env: cleanEnvironment(),
    stdio: ['ignore', output, output],
  });
  let ended;
  child.on('error', (error) => (ended = error.message));
  child.on('exit', (code, signal) => (ended ??= `it ended with ${signal ?? code}`));
  const tail = () => readFileSync(log, 'utf8').split('\n').slice(-60).join('\n');

  await until(
    `${command} gets ready`,
    async () => {
      if (ended) throw new Error(`${command} did not start: ${ended}\n${tail()}`);
      return isReady();
    },
    READY_MS,
  );

  // Resolves to what was wrong with it, if anything was.
  const stop = async () => {
    if (ended) return `plenum died while the tests ran: ${ended}`;
    child.kill('SIGTERM');
    const stopped = await until('plenum ends', () => ended, STOP_MS).catch(() => false);
    if (!stopped) {
      child.kill('SIGKILL');
      return `plenum did not end within ${STOP_MS / 1000} s of being told to`;
    }
    if (ended !== 'it ended with 0') return `plenum: ${ended}`;
    if (readFileSync(log, 'utf8').includes('panicked at')) return 'plenum panicked, see its log';
    return null;
  };
  // Sends a signal, as an operator or the kernel does; resolves once the process is gone, with 'SIGSTOP' at once.
  const signal = async (name) => {
    child.kill(name);
    if (name === 'SIGSTOP' || name === 'SIGCONT') return;
    await until(`${command} is gone`, () => ended, STOP_MS);
  };
  return { pid: child.pid, log, tail, stop, signal };
}

// As launch, on loopback, with its `url`. `extra` is more configuration (TOML), `media` the address of its media.
export async function startPlenum(root, { extra = '', media = '127.0.0.1' } = {}) {
  const folder = `${root}target/clients`;
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const [config, log] = [`${folder}/plenum-${port}.toml`, `${folder}/plenum-${port}.log`];
  writeFileSync(config, configuration(port, media) + extra);
  const isReady = () =>
    fetch(`${url}/readyz`).then(
      (r) => r.ok,
      () => false,
    );
  const started = await launch(log, program(root), ['--config', config], isReady);
  console.log(`plenum is ready at ${url}, its log is ${log}`);
  return { url, ...started };
}
