#!/usr/bin/env node
// How a cluster on this machine takes failures: three nodes, three replicas, etcd, and a meeting over all nodes beside
// a room on one of them. Each measure prints one line of JSON. By hand: `node measure/cluster.mjs [MEASURE…]`,
// against the programs beside PLENUM_BIN; PLENUM_MEASURE_PEOPLE, _REPEATS, _CROWD and
// _VIEWERS change the numbers.

import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startCluster } from '../lib/cluster.mjs';
import { missing, quantiles, startLoad } from '../lib/load.mjs';
import { uniqueRoom } from '../lib/room.mjs';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const REGIONS = ['eu', 'us', 'ap'];
const PEOPLE = Number(process.env.PLENUM_MEASURE_PEOPLE ?? 30);
const REPEATS = Number(process.env.PLENUM_MEASURE_REPEATS ?? 20);

const say = (measure, figures) => console.log(JSON.stringify({ measure, ...figures }));

async function withCluster(body, settings) {
  const cluster = await startCluster(ROOT, REGIONS, settings);
  try {
    return await body(cluster);
  } finally {
    for (const complaint of await cluster.stop()) console.error(complaint);
  }
}

// From the last join to where losses count: so many who join at once keep two processors busy for a while.
const WARM_UP = 6;

// A meeting over all nodes, and a room of two with sound alone on the node of `region`.
async function start(cluster, seconds, region = 'eu') {
  const urls = cluster.replicas.map((replica) => replica.url);
  const meeting = startLoad(ROOT, urls, {
    room: uniqueRoom('meeting'),
    people: PEOPLE,
    seconds,
    warmUp: WARM_UP,
  });
  const other = startLoad(ROOT, [cluster.replica(region).url], {
    room: uniqueRoom('other'),
    people: 2,
    seconds,
    warmUp: WARM_UP,
    video: false,
    audio: true,
  });
  await Promise.all([meeting.gathered(), other.gathered()]);
  // So that there is something to be missed.
  await pause(WARM_UP * 1000 + 2000);
  return async () => {
    const [seen, heard] = await Promise.all([meeting.done, other.done]);
    return { seen, heard };
  };
}

const summary = ({ seen, heard }) => ({
  people: PEOPLE,
  not_seen_by_all: missing(seen, PEOPLE),
  joins: seen.joins,
  errors: seen.errors,
  meeting_longest_gap_ms: seen.longest_gap_ms,
  meeting_packets_lost: seen.packets_lost,
  other_longest_gap_ms: heard.longest_gap_ms,
  other_packets_lost: heard.packets_lost,
});

// The longest turn of a node's workers, and how late they were, in milliseconds, within the next seconds.
async function busy(node, seconds) {
  const most = { turn_ms: 0, late_ms: 0 };
  for (let look = 0; look < 4 * seconds; look += 1) {
    await pause(250);
    const [turn, late] = await Promise.all([
      metric(node, 'plenum_node_worker_turn_seconds'),
      metric(node, 'plenum_node_worker_lag_seconds'),
    ]);
    most.turn_ms = Math.max(most.turn_ms, 1000 * turn);
    most.late_ms = Math.max(most.late_ms, 1000 * late);
  }
  return most;
}

// A node is killed, and another started in its place: how long until those who were on it see somebody again.
async function node() {
  const back = [];
  const gaps = [];
  await withCluster(async (cluster) => {
    for (let turn = 0; turn < REPEATS; turn += 1) {
      // The home of the meeting, which is that of its first participant, and the others in turn.
      const region = ['us', 'ap'][turn % 2];
      const end = await start(cluster, 16);
      const killed = Date.now();
      await cluster.signal(cluster.node(region), 'SIGKILL');
      const busiest = await busy(cluster.node('eu'), 5);
      const { seen, heard } = await end();
      back.push(...seen.rejoins.map((rejoin) => rejoin.back_at_ms - killed));
      gaps.push(heard.longest_gap_ms);
      // What the harness says of itself: a gap may be its own.
      const { notes } = heard;
      say('node, one turn', { region, rejoined: seen.joins.rejoined, ...summary({ seen, heard }), busiest, notes });
      await cluster.startNode(region);
    }
  });
  say('node', {
    repeats: REPEATS,
    media_again_ms: quantiles(back),
    other_room_longest_gap_ms: quantiles(gaps),
  });
}

// The home of the meeting is killed: the others go on.
async function home() {
  await withCluster(async (cluster) => {
    const end = await start(cluster, 16, 'us');
    const killed = Date.now();
    await cluster.signal(cluster.node('eu'), 'SIGKILL');
    const { seen, heard } = await end();
    const back = seen.rejoins.map((rejoin) => rejoin.back_at_ms - killed);
    say('home', { media_again_ms: quantiles(back), ...summary({ seen, heard }) });
  });
}

// Nothing fails: what is lost then is lost by the machine, in every other measure too.
async function calm() {
  await withCluster(async (cluster) => {
    const end = await start(cluster, 20);
    say('calm', summary(await end()));
  });
}

// A replica of the control plane is killed.
async function replica() {
  await withCluster(async (cluster) => {
    const end = await start(cluster, 20);
    await cluster.signal(cluster.replica('us'), 'SIGKILL');
    say('replica', summary(await end()));
  });
}

// The store is away for a minute.
async function store() {
  await withCluster(async (cluster) => {
    const end = await start(cluster, 75);
    await cluster.etcd.signal('SIGSTOP');
    await pause(60_000);
    await cluster.etcd.signal('SIGCONT');
    say('store', summary(await end()));
  });
}

// All nodes are replaced, one after the other.
async function upgrade() {
  const settings = { node: { 'node.timeouts.drain': '10s' } };
  await withCluster(async (cluster) => {
    const end = await start(cluster, 75);
    for (const region of REGIONS) {
      const complaint = await cluster.replace(region);
      if (complaint) console.error(complaint);
      await pause(2000);
    }
    const { seen, heard } = await end();
    say('upgrade', { media_gap_ms: seen.rejoin_ms, ...summary({ seen, heard }) });
  }, settings);
}

// Three hundred lose their node at once, and come back within a second.
async function storm() {
  const people = Number(process.env.PLENUM_MEASURE_CROWD ?? 300);
  await withCluster(async (cluster) => {
    const urls = cluster.replicas.map((replica) => replica.url);
    const room = uniqueRoom('crowd');
    const publishers = 2;
    const crowd = startLoad(ROOT, urls.slice(0, 1), {
      room,
      people: publishers,
      viewers: people - publishers,
      seconds: 25,
      rate: 40,
    });
    await crowd.gathered();
    await pause(1000);
    const killed = Date.now();
    await cluster.signal(cluster.node('eu'), 'SIGKILL');
    const report = await crowd.done;
    const back = report.rejoins.map((rejoin) => rejoin.back_at_ms - killed);
    say('storm', {
      people,
      back_in_15_s: back.filter((ms) => ms <= 15_000).length / people,
      back_ms: quantiles(back),
      joins: report.joins,
      errors: report.errors,
    });
  });
}

// A number of a node as Prometheus reads it.
async function metric(node, name) {
  const text = await (await fetch(`${node.url}/metrics`)).text();
  const line = text.split('\n').find((line) => line.startsWith(name) && !line.startsWith('#'));
  return Number(line?.split(' ').at(-1) ?? 0);
}

// One publisher: what a hop over a relay adds to the way of a packet, and what crosses the links for how many viewers.
async function relay() {
  const many = Number(process.env.PLENUM_MEASURE_VIEWERS ?? 2000);
  await withCluster(async (cluster) => {
    const [eu, us, ap] = REGIONS.map((region) => cluster.replica(region).url);
    const relayed = () =>
      Promise.all(REGIONS.map((region) => metric(cluster.node(region), 'plenum_node_relay_sent')));
    const watched = async (urls, viewers) => {
      const before = await relayed();
      const rate = 60;
      const load = startLoad(ROOT, urls, { room: uniqueRoom('relay'), people: 1, viewers, seconds: 15, warmUp: WARM_UP, rate });
      const report = await load.done;
      const { p50, p95, p99, max } = report.forward_latency_ms;
      // Nodes count once a second.
      await pause(2000);
      const after = await relayed();
      return {
        viewers,
        forward_latency_ms: { p50, p95, p99, max },
        packets_forwarded: report.packets_forwarded,
        packets_lost: report.packets_lost,
        relayed_by: Object.fromEntries(REGIONS.map((region, n) => [region, after[n] - before[n]])),
        errors: report.errors,
      };
    };
    const all = (url, viewers) => [eu, ...Array(viewers).fill(url)];
    for (let turn = 0; turn < 3; turn += 1) {
      say('relay, none', await watched([eu], 60));
      say('relay, a hop', await watched(all(us, 60), 60));
    }
    for (const viewers of [30, 300, many]) say('relay, three nodes', await watched([eu, us, ap], viewers));
  });
}

const MEASURES = { calm, node, home, replica, store, upgrade, storm, relay };

const names = process.argv.slice(2);
const unknown = names.filter((name) => !(name in MEASURES));
if (unknown.length)
  throw new Error(`no such measure: ${unknown}; there are ${Object.keys(MEASURES)}`);
for (const name of names.length ? names : Object.keys(MEASURES)) await MEASURES[name]();
