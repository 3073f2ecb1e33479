// A publisher's link falls from 3 Mbit/s to 0.4 while all who watch take the largest picture alone: the smaller ones are
// asked for until it comes whole again. By hand, as its neighbours. Prints what was measured.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Stage, findingOf, obstacle, secondsUntil, summary, watch } from './stage.mjs';

const WIDE = 'rate=3M queue=300ms delay=15ms';
const NARROW = 'rate=400k';
const CAMERA = { resolution: { width: 1280, height: 720, frameRate: 30 } };

describe('a publisher whose link falls and comes back', { skip: (await obstacle()) ?? false }, () => {
  let stage;
  before(async () => (stage = await Stage.open()));
  after(() => stage?.close());
  for (const [name, settings, options] of [
    ['as browsers choose', {}, {}],
    ['with as large a picture', { degradationPreference: 'maintain-resolution' }, {}],
    ['with dynacast', {}, { dynacast: true }],
  ]) {
    test(`VP8 simulcast, ${name}`, () =>
      stage.call(async (publisher, viewer) => {
        await stage.shaper.set('up', WIDE);
        await publisher.publishCamera(CAMERA, { videoCodec: 'vp8', simulcast: true, ...settings });
        await viewer.sees('publisher');
        await watch(viewer, 20);
        const wide = await watch(viewer, 15);
        await stage.shaper.set('up', NARROW);
        const fall = await watch(viewer, 8);
        const narrow = await watch(viewer, 30);
        const finding = await findingOf(viewer);
        await stage.shaper.set('up', WIDE);
        const again = await watch(viewer, 45);
        const phases = {
          'at 3 Mbit/s': summary(wide),
          'the 8 s after the fall': summary(fall),
          'at 0.4 Mbit/s': summary(narrow),
          'back at 3 Mbit/s': summary(again),
        };
        const full = phases['at 3 Mbit/s'].width;
        const whole = secondsUntil(again, ({ frameWidth }) => frameWidth === full);
        console.log(name);
        console.table(phases);
        console.log(`full after ${whole} s; told: ${JSON.stringify(finding)}; ${await stage.shaper.stats()}`);
        const usual = phases['at 3 Mbit/s'].fps;
        assert.ok(phases['at 0.4 Mbit/s'].fps > usual / 2, 'pictures go on');
        assert.ok(whole !== undefined, 'and the full picture comes back');
      }, true, options),
    );
  }
});
