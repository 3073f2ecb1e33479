// A room over three nodes of a real cluster, and what it takes when parts of the cluster fail. The long form, with
// figures, is `node measure/cluster.mjs`.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startCluster } from '../lib/cluster.mjs';
import { missing, startLoad } from '../lib/load.mjs';
import { uniqueRoom } from '../lib/room.mjs';
import { until } from '../lib/until.mjs';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const REGIONS = ['eu', 'us', 'ap'];
const PEOPLE = 9;

let cluster;

before(async () => {
  cluster = await startCluster(ROOT, REGIONS);
});

after(async () => {
  assert.deepEqual(await cluster.stop(), []);
});

test('a room over three nodes outlives a replica, the store being away, and a node', async () => {
  const urls = cluster.replicas.map((replica) => replica.url);
  const meeting = startLoad(ROOT, urls, { room: uniqueRoom('cluster'), people: PEOPLE, seconds: 14 });
  const other = startLoad(ROOT, urls.slice(0, 1), {
    room: uniqueRoom('cluster'),
    people: 2,
    seconds: 14,
    video: false,
    audio: true,
  });
  await Promise.all([meeting.gathered(), other.gathered()]);
  for (const region of REGIONS) {
    // A node counts anew each second.
    await until(`${region} serves somebody`, async () => {
      const metrics = await (await fetch(`${cluster.node(region).url}/metrics`)).text();
      return /plenum_node_participants(\{[^}]*\})? [1-9]/.test(metrics);
    }, 3_000);
  }
  // Whose signalling went to it resumes at another; the store is away at the same time.
  await cluster.etcd.signal('SIGSTOP');
  await cluster.signal(cluster.replica('us'), 'SIGKILL');
  await pause(3000);
  await cluster.etcd.signal('SIGCONT');
  await cluster.signal(cluster.node('ap'), 'SIGKILL');
  const [seen, heard] = await Promise.all([meeting.done, other.done]);
  assert.deepEqual(seen.errors, []);
  assert.deepEqual([seen.joins.failed, seen.joins.lost], [0, 0]);
  assert.equal(missing(seen, PEOPLE), 0, 'everybody saw everybody');
  assert.ok(seen.joins.resumed >= PEOPLE / 3, `${seen.joins.resumed} resumed`);
  assert.ok(seen.joins.rejoined >= PEOPLE / 3, `${seen.joins.rejoined} came back`);
  assert.deepEqual([heard.packets_lost, heard.joins.rejoined], [0, 0]);
  console.log('back after', seen.rejoin_ms, 'the other room’s longest gap', heard.longest_gap_ms);
  await until('the store knows who is left', async () =>
    (await fetch(`${cluster.replica('eu').url}/readyz`)).ok,
  );
});
