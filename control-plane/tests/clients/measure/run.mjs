#!/usr/bin/env node
// Measures a `plenum` of its own, by hand:  node measure/run.mjs join [N]  |  memory [ARGS…] One
// line of JSON comes out. Build with --release first and set PLENUM_BIN to that binary; numbers of
// a development build say little.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { startPlenum } from '../lib/plenum.mjs';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const python = process.env.PLENUM_PYTHON ?? at('../../../../target/clients-venv/bin/python');
const MEASUREMENTS = {
  join: [process.execPath, at('join.mjs')],
  memory: [python, at('memory.py')],
};
// Rooms that are left go soon, so that what they held is given back while we look; and the history
// of events is full at once: it is meant to grow, up to its cap.
const SETTINGS = `
[node.timeouts]
departure = "1s"
[node.events]
keep = 100
`;

const [name, ...args] = process.argv.slice(2);
if (!(name in MEASUREMENTS))
  throw new Error(`what to measure: ${Object.keys(MEASUREMENTS).join(' or ')}`);
const plenum = await startPlenum(at('../../../../'), { extra: SETTINGS });
const env = { ...process.env, PLENUM_URL: plenum.url, PLENUM_PID: String(plenum.pid) };
const [program, ...rest] = MEASUREMENTS[name];
const child = spawn(program, [...rest, ...args], { env, stdio: 'inherit' });
child.on('exit', async (code) => {
  const complaint = await plenum.stop();
  if (complaint) console.error(complaint);
  process.exitCode = code || (complaint ? 1 : 0);
});
