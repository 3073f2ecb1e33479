// A viewer's link falls from 3 Mbit/s to 0.5 and comes back: the layers follow it, whatever the codec. By hand: it
// takes minutes, and a machine with time for it. Prints what was measured.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Stage, findingOf, obstacle, secondsUntil, summary, watch } from './stage.mjs';

const WIDE = 'rate=3M queue=300ms delay=15ms';
const NARROW_KBIT = 500;
const CAMERA = { resolution: { width: 1280, height: 720, frameRate: 30 } };
// A busy machine makes fewer pictures, not smaller ones.
const STEADY = { degradationPreference: 'maintain-resolution' };
const SCALABLE = { ...STEADY, simulcast: false, backupCodec: false, scalabilityMode: 'L3T3_KEY' };
const CODECS = [
  ['VP8 simulcast', { videoCodec: 'vp8', simulcast: true, ...STEADY }],
  ['VP9 SVC', { videoCodec: 'vp9', ...SCALABLE }],
  ['AV1 SVC', { videoCodec: 'av1', ...SCALABLE }],
];

describe('a link that falls and comes back', { skip: (await obstacle()) ?? false }, () => {
  let stage;
  before(async () => (stage = await Stage.open()));
  after(() => stage?.close());
  for (const [name, publish] of CODECS) {
    test(name, () =>
      stage.call(async (publisher, viewer) => {
        await stage.shaper.set('down', WIDE);
        await publisher.publishCamera(CAMERA, publish);
        await viewer.sees('publisher');
        await watch(viewer, 15);
        const wide = await watch(viewer, 15);
        // A busy machine makes pictures of which all fit: it is to be too little in any case.
        const kbit = Math.min(NARROW_KBIT, Math.round(summary(wide).kbit * 0.6));
        await stage.shaper.set('down', `rate=${kbit}k`);
        const narrow = await watch(viewer, 30);
        const finding = await findingOf(viewer);
        await stage.shaper.set('down', WIDE);
        const again = await watch(viewer, 45);

        const phases = { 'at 3 Mbit/s': summary(wide), 'at 0.5 Mbit/s': summary(narrow), 'back at 3 Mbit/s': summary(again) };
        const full = phases['at 3 Mbit/s'].width;
        const isLess = ({ frameWidth }) => frameWidth < full;
        const isFull = ({ frameWidth }) => frameWidth === full;
        console.log(name);
        console.table(phases);
        console.log(`smaller after ${secondsUntil(narrow, isLess)} s, full after ${secondsUntil(again, isFull)} s; told: ${JSON.stringify(finding)}; ${await stage.shaper.stats()}`);
        assert.ok(phases['at 0.5 Mbit/s'].width < full, 'the picture gets smaller');
        assert.ok(secondsUntil(again, isFull) !== undefined, 'and comes back');
        assert.ok(phases['at 0.5 Mbit/s'].kbit < kbit * 1.1, 'no more is sent than the link takes');
        // How many there are depends on the machine more than on the link.
        const least = phases['at 3 Mbit/s'].fps / 4;
        for (const [phase, { fps }] of Object.entries(phases)) assert.ok(fps >= least, `${phase}: pictures go on`);
        assert.equal(finding.side, 'RECEIVER');
      }),
    );
  }
});
