// Participants of the load test, as many as are wanted, and what they measured.

import { spawn } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { RoomServiceClient } from 'livekit-server-sdk';
import { apiKey, apiSecret } from './env.mjs';
import { cleanEnvironment, program } from './plenum.mjs';
import { until } from './until.mjs';

let runs = 0;

// A scenario as TOML; `video` and `audio` are what each participant sends.
const scenario = ({ room, people, viewers = 0, seconds, warmUp = 0, rate = 10, video = true, audio = false }) => `
room = "${room}"
publishers = ${people}
subscribers = ${viewers}
duration = "${seconds}s"
warm_up = "${warmUp}s"
rejoin = true
[join]
rate = ${rate}
timeout = "20s"
${video ? '[video]\nlayers = [{ width = 160, height = 90, fps = 10, bitrate = "40k" }]' : ''}
${audio ? `[audio]\ntalkers = ${people}` : ''}
`;

// Starts a meeting in which everybody sees and hears everybody and comes back when cut off. `urls` are taken in turn.
export function startLoad(root, urls, wanted) {
  const base = `${root}target/clients/load-${process.pid}-${(runs += 1)}`;
  const [file, json] = [`${base}.toml`, `${base}.json`];
  writeFileSync(file, scenario(wanted));
  const args = ['run', file, '--url', urls.join(','), '--json', json];
  args.push('--api-key', apiKey, '--api-secret', apiSecret);
  const child = spawn(program(root).replace(/plenum$/, 'loadtest'), args, {
    env: cleanEnvironment(),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (bytes) => (said = (said + bytes).slice(-4000)));
  const done = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => {
      // 1: a threshold failed; there are none.
      if (code !== 0) return reject(new Error(`loadtest ended with ${code}: ${said}`));
      const report = JSON.parse(readFileSync(json, 'utf8'));
      rmSync(file), rmSync(json);
      resolve(report);
    });
  });
  // Looked at when the caller waits for it.
  done.catch(() => {});

  // Resolves when all have joined and publish.
  const api = new RoomServiceClient(urls[0], apiKey, apiSecret);
  const all = wanted.people + (wanted.viewers ?? 0);
  const gathered = () =>
    until(`${all} are in ${wanted.room}`, async () => {
      const present = await api.listParticipants(wanted.room).catch(() => []);
      const publishing = present.filter((one) => one.tracks.length > 0);
      return present.length === all && publishing.length === wanted.people;
    });
  return { done, gathered };
}

// Whether each saw each of the others: one track per participant, with all others as its viewers.
export function missing(report, people) {
  const seen = report.tracks.filter((track) => track.kind === 'video' && track.frames_decodable > 0);
  const publishers = new Set(
    seen.filter((track) => track.subscribers >= people - 1).map((track) => track.publisher),
  );
  return people - publishers.size;
}

// The values at these shares of a list, and its length.
export function quantiles(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
  return { count: sorted.length, p50: at(0.5), p95: at(0.95), max: sorted.at(-1) };
}
