// Interrupted connections of the Node SDK: the call goes on.

import { test } from 'node:test';
import { SimulateScenarioKind } from '@livekit/rtc-node';
import { scene } from './scene.mjs';
import { hearsTone, publishTone } from './tone.mjs';

for (const [what, scenario] of [
  ['a lost signalling connection', SimulateScenarioKind.SIMULATE_SIGNAL_RECONNECT],
  ['a full reconnect', SimulateScenarioKind.SIMULATE_FULL_RECONNECT],
]) {
  test(
    `sound goes on after ${what}`,
    scene(async ({ join }) => {
      const [alice, bob] = [await join('alice'), await join('bob')];
      await publishTone(alice);
      await hearsTone(bob, 'alice');
      await alice.room.simulateScenario(scenario);
      await alice.told('reconnected');
      await hearsTone(bob, 'alice');
      await bob.room.simulateScenario(scenario);
      await bob.told('reconnected');
      await hearsTone(bob, 'alice');
    }),
  );
}
