// A viewer whose link is as links are in the field: a telephone on the move, a network at home, and a crowded one, each
// drawn from a seed, both ways. By hand, as its neighbours. Prints what was measured.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Stage, obstacle, summary, watch } from './stage.mjs';

const WAYS = ['down', 'up'];
const CAMERA = { resolution: { width: 1280, height: 720, frameRate: 30 } };
const SECONDS = 60;
// The share of the pictures of a good link that are shown at least, and of the time in which they may stand still.
const TRACES = [
  ['a network at home', 'wifi/7', 0.9, 0.02],
  ['a crowded network', 'crowded/7', 0.5, 0.15],
  ['a telephone on the move', 'cell/7', 0.5, 0.15],
];

describe('a link as in the field', { skip: (await obstacle()) ?? false }, () => {
  let stage;
  before(async () => (stage = await Stage.open()));
  after(() => stage?.close());
  for (const [name, trace, shown, frozen] of TRACES) {
    test(name, () =>
      stage.call(async (publisher, viewer) => {
        for (const way of WAYS) await stage.shaper.set(way, 'trace=none');
        await publisher.publishTone({ red: true, dtx: false });
        await publisher.publishCamera(CAMERA, { videoCodec: 'vp8', degradationPreference: 'maintain-resolution' });
        await viewer.sees('publisher');
        const good = summary(await watch(viewer, 15));
        for (const way of WAYS) await stage.shaper.set(way, `trace=${trace}`);
        const there = summary(await watch(viewer, SECONDS));
        console.log(name);
        console.table({ before: good, there });
        console.log(await stage.shaper.stats());
        assert.ok(there.fps >= good.fps * shown, `${there.fps} pictures a second of ${good.fps}`);
        assert.ok(there.frozenSeconds <= SECONDS * frozen, `the picture stood still for ${there.frozenSeconds} s`);
      }),
    );
  }
});
