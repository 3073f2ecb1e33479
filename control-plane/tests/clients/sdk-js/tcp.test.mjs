// A network that lets no UDP through: the browser uses TCP only.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scene } from './scene.mjs';

const NO_UDP = ['--webrtc-ip-handling-policy=disable_non_proxied_udp'];

test(
  'without UDP the call runs over TCP',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await alice.publishCamera();
    await alice.publishTone();
    await bob.sees('alice');
    await bob.hears('alice');
    const protocol = await bob.run(async (m) => {
      const report = await m.publication('alice', 'camera').track.receiver.getStats();
      const stats = [...report.values()];
      const { selectedCandidatePairId } = stats.find((s) => s.type === 'transport');
      const pair = report.get(selectedCandidatePairId);
      return report.get(pair.remoteCandidateId).protocol;
    });
    assert.equal(protocol, 'tcp');
  }, NO_UDP),
);
