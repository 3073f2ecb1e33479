#!/usr/bin/env node
// Runs the tests with real clients against a `plenum` of their own.
//
//   ./setup                      once: packages, virtual environment, browser
//   node run.mjs [suite…]        all suites but those by hand, or the named ones
//
// PLENUM_BIN    the program to start; default target/debug/plenum
// PLENUM_URL    an instance that already runs: nothing is started. PLENUM_API_KEY and
//               PLENUM_API_SECRET go with it.
// PLENUM_PYTHON the Python with requirements.txt in it; default target/clients-venv/bin/python
// PLENUM_AGENTS_PYTHON the one with agents/requirements.txt; default target/agents-venv/bin/python

import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startPlenum } from './lib/plenum.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const PYTHON = process.env.PLENUM_PYTHON ?? `${ROOT}target/clients-venv/bin/python`;

const node = (folder) => {
  const files = readdirSync(`${HERE}${folder}`)
    .filter((name) => /\.test\.m?js$/.test(name))
    .sort();
  const flags = ['--test-concurrency=1', `--test-timeout=${SUITES[folder].byHand ? 600_000 : 120_000}`, '--test-reporter=spec'];
  return [process.execPath, '--test', ...flags, ...files.map((name) => `${folder}/${name}`)];
};
const pytest = (folder) => [PYTHON, '-m', 'pytest', '-q', folder];

// In the order in which they tell most.
const SUITES = {
  'sdk-js': { command: node, minutes: 12 },
  page: { command: node, minutes: 8 },
  // Needs root, and says so where it is skipped.
  network: { command: node, minutes: 6 },
  // Minutes of real time for each codec, and needs root and the shaper.
  links: { command: node, minutes: 15, byHand: true },
  direct: { command: node, minutes: 2 },
  'sdk-node': { command: node, minutes: 4 },
  'sdk-python': { command: pytest, minutes: 6 },
  'grpc-python': { command: pytest, minutes: 4 },
  'whip-js': { command: node, minutes: 5 },
  'whip-aiortc': { command: pytest, minutes: 4 },
  agents: { command: pytest, minutes: 4 },
  // Brings up its own processes: `sfu`, `control-plane`, `loadtest`, and etcd.
  cluster: { command: node, minutes: 4 },
};

// Runs one suite in a process group of its own, so that none of its processes outlives it.
function run(name, environment) {
  const { command, minutes } = SUITES[name];
  const [program, ...args] = command(name);
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: HERE,
      env: environment,
      stdio: 'inherit',
      detached: true,
    });
    const stop = () => {
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // The group is gone already.
      }
    };
    const timer = setTimeout(() => {
      console.error(`suite ${name}: not done after ${minutes} minutes`);
      stop();
    }, minutes * 60_000);
    child.on('error', (error) => {
      clearTimeout(timer);
      console.error(`suite ${name}: ${error.message}`);
      resolve(false);
    });
    child.on('exit', (code) => {
      clearTimeout(timer);
      stop();
      resolve(code === 0);
    });
  });
}

async function main() {
  const named = process.argv.slice(2);
  const unknown = named.filter((name) => !(name in SUITES));
  if (unknown.length)
    throw new Error(`no such suite: ${unknown}; there are ${Object.keys(SUITES)}`);
  const wanted = named.length
    ? named
    : Object.keys(SUITES).filter((name) => !SUITES[name].byHand && existsSync(HERE + name));

  const started = process.env.PLENUM_URL ? null : await startPlenum(ROOT);
  const environment = {
    ...process.env,
    ...(started && { PLENUM_URL: started.url, PLENUM_LOG_FILE: started.log }),
    NODE_ENV: 'production',
  };
  const failed = [];
  for (const name of wanted) {
    const since = Date.now();
    console.log(`\n== real clients: ${name}`);
    if (!(await run(name, environment))) failed.push(name);
    console.log(`== real clients: ${name} took ${Math.round((Date.now() - since) / 1000)} s`);
  }
  const complaint = await started?.stop();
  if (complaint) failed.push(complaint);
  if (!failed.length) return;
  if (started) console.error(`\nlast lines of ${started.log}:\n${started.tail()}`);
  throw new Error(`failed: ${failed.join('; ')}`);
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
