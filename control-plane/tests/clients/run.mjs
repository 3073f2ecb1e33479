#!/usr/bin/env node
// Runs the tests with real clients, each lane of suites against a `plenum` of its own. What a suite says is
// shown when it is done.
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
import { readdirSync } from 'node:fs';
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
// Firefox and GStreamer take no loopback address for media.
const inNetwork = (folder) => [`${HERE}firefox/network`, ...node(folder)];
const pytest = (folder) => [PYTHON, '-m', 'pytest', '-q', folder];

// Stages follow one another, lanes of a stage go side by side. Beside the long suite of the browser go those
// that leave it a processor; those that measure times have the machine to themselves.
const STAGES = [
  [
    { 'sdk-js': { command: node, minutes: 12 } },
    {
      'sdk-python': { command: pytest, minutes: 6 },
      'sdk-node': { command: node, minutes: 4 },
      'grpc-python': { command: pytest, minutes: 4 },
      'whip-aiortc': { command: pytest, minutes: 4 },
    },
  ],
  [
    {
      page: { command: node, minutes: 8 },
      // Needs root, as does Firefox's, and says so where it is skipped.
      network: { command: node, minutes: 6 },
      // Minutes of real time for each codec, and needs root and the shaper.
      links: { command: node, minutes: 30, byHand: true },
      firefox: { command: inNetwork, minutes: 3 },
      // Needs packages that `./setup gstreamer` installs.
      gstreamer: { command: inNetwork, minutes: 5, byHand: true },
      direct: { command: node, minutes: 2 },
      'whip-js': { command: node, minutes: 5 },
      'whip-libdatachannel': { command: node, minutes: 2 },
    },
  ],
  [
    {
      // A worker is sent to each room there is: to those, too, that clients of other suites left without a word.
      agents: { command: pytest, minutes: 4 },
      // Brings up its own processes: `sfu`, `control-plane`, `loadtest`, and etcd.
      cluster: { command: node, minutes: 4 },
    },
  ],
];
const SUITES = Object.assign({}, ...STAGES.flat());
// What a suite that failed said last is said again at the end: logs are cut from above.
const LAST_WORDS = 60;

// Runs one suite in a process group of its own, so that none of its processes outlives it. Resolves to
// { isGood, said }.
function run(name, environment) {
  const { command, minutes } = SUITES[name];
  const [program, ...args] = command(name);
  return new Promise((resolve) => {
    const said = [];
    const child = spawn(program, args, {
      cwd: HERE,
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => said.push(text));
    const finish = (isGood) => resolve({ isGood, said: Buffer.concat(said) });
    const stop = () => {
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // The group is gone already.
      }
    };
    const timer = setTimeout(() => {
      said.push(Buffer.from(`suite ${name}: not done after ${minutes} minutes\n`));
      stop();
    }, minutes * 60_000);
    child.on('error', (error) => {
      clearTimeout(timer);
      said.push(Buffer.from(`suite ${name}: ${error.message}\n`));
      finish(false);
    });
    child.on('exit', (code) => {
      clearTimeout(timer);
      stop();
      // Whatever left the group and lives on may keep the output open.
      setTimeout(finish, 5000, code === 0).unref();
    });
    child.on('close', (code) => finish(code === 0));
  });
}

// Runs suites one after the other, against an instance of their own unless there is one already; resolves to
// those that failed, as { name, said }.
async function runLane(names) {
  const started = process.env.PLENUM_URL ? null : await startPlenum(ROOT);
  const environment = {
    ...process.env,
    ...(started && { PLENUM_URL: started.url, PLENUM_LOG_FILE: started.log }),
    NODE_ENV: 'production',
  };
  const failed = [];
  for (const name of names) {
    const since = Date.now();
    const { isGood, said } = await run(name, environment);
    if (!isGood) failed.push({ name, said: said.toString().trimEnd().split('\n').slice(-LAST_WORDS).join('\n') });
    console.log(`\n== real clients: ${name}`);
    process.stdout.write(said);
    console.log(`== real clients: ${name} took ${Math.round((Date.now() - since) / 1000)} s`);
  }
  const complaint = await started?.stop();
  if (complaint) failed.push({ name: complaint, said: '' });
  if (failed.length && started) console.error(`\nlast lines of ${started.log}:\n${started.tail()}`);
  return failed;
}

async function main() {
  const named = process.argv.slice(2);
  const unknown = named.filter((name) => !(name in SUITES));
  if (unknown.length)
    throw new Error(`no such suite: ${unknown}; there are ${Object.keys(SUITES)}`);
  const failed = [];
  for (const stage of STAGES) {
    const lanes = stage.map((lane) => Object.keys(lane).filter((name) => (named.length ? named.includes(name) : !lane[name].byHand)));
    const results = await Promise.allSettled(lanes.filter((lane) => lane.length).map(runLane));
    failed.push(...results.flatMap(({ value, reason }) => value ?? { name: reason.message, said: '' }));
  }
  for (const { name, said } of failed.filter(({ said }) => said)) console.error(`\n== what ${name} said last\n${said}`);
  if (failed.length) throw new Error(`failed: ${failed.map(({ name }) => name).join('; ')}`);
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
