// A link that loses much, each way, with 100 ms of round trip: sound goes on by what is repeated beside it (RED), whether
// its publisher repeats or not, and the picture by what is sent again. By hand, as its neighbour. Prints what was measured.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';
import { Stage, obstacle, summary } from './stage.mjs';

const WELL = 'rate=0 delay=50ms loss=0 burst=none';
const LINKS = [
  ['one packet of ten lost', 'loss=10%'],
  // 3 % of all, most of 60 ms at a time.
  ['3 % lost in bursts', 'burst=1.6s/60ms/80%'],
];
const SECONDS = 60;
const WELL_SECONDS = 5;
// Until the loss is known and judged.
const SETTLING_MS = 10_000;
const LOOK_MS = 500;
const CAMERA = { resolution: { width: 640, height: 360, frameRate: 30 } };

// What came of sound and picture, looked at twice a second.
async function watch(viewer, seconds) {
  const [sounds, pictures] = [[], []];
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    const [sound, picture] = await Promise.all(['microphone', 'camera'].map((source) => viewer.inbound('publisher', source)));
    if (sound) sounds.push({ ...sound, at: Date.now() });
    if (picture) pictures.push({ ...picture, at: Date.now() });
    await pause(LOOK_MS);
  }
  return { sounds, pictures };
}

// Of the sound: the share that was made up, and the quietest half of a second beside the usual one.
function heard(sounds) {
  const grown = (key) => sounds.at(-1)[key] - sounds[0][key];
  const power = sounds.slice(1).map((sound, place) => {
    const before = sounds[place];
    return (sound.totalAudioEnergy - before.totalAudioEnergy) / (sound.totalSamplesDuration - before.totalSamplesDuration);
  });
  const sorted = power.filter(Number.isFinite).sort((a, b) => a - b);
  const samples = grown('totalSamplesReceived');
  return {
    concealed: grown('concealedSamples') / samples,
    silent: grown('silentConcealedSamples') / samples,
    quietest: sorted[0] / sorted[Math.floor(sorted.length / 2)],
    codec: sounds.at(-1).codec,
    lost: grown('packetsLost') / (grown('packetsLost') + grown('packetsReceived')),
    recovered: grown('fecPacketsReceived'),
  };
}

// By how many milliseconds the sound that is played is further on than the picture that is shown, beside some moment
// which nobody knows: mostly, and at most.
function ahead(sounds, pictures) {
  const at = ({ played }, rate) => played && (played.rtpTimestamp / rate) * 1000 - played.timestamp;
  const sorted = sounds
    .map((sound, place) => at(sound, 48_000) - at(pictures[place] ?? {}, 90_000))
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  return { median: sorted[Math.floor(sorted.length / 2)], most: sorted.at(-1) };
}

const COUNTS = ['framesDecoded', 'framesReceived', 'packetsReceived', 'packetsLost', 'retransmittedPacketsReceived', 'nackCount', 'pliCount', 'keyFramesDecoded'];

// What was counted in the half seconds in which no more than half of the usual pictures were decoded, and after them.
function stills(pictures) {
  const rows = pictures.slice(1).map((picture, place) => {
    const grown = COUNTS.map((key) => [key, (picture[key] ?? 0) - (pictures[place][key] ?? 0)]);
    return { at: picture.at - pictures[0].at, ...Object.fromEntries(grown) };
  });
  const usual = rows.map(({ framesDecoded }) => framesDecoded).sort((a, b) => a - b)[Math.floor(rows.length / 2)];
  const isStill = (row) => row?.framesDecoded * 2 <= usual;
  return rows.filter((row, place) => isStill(row) || isStill(rows[place - 1]));
}

describe('a link that loses', { skip: (await obstacle()) ?? false }, () => {
  let stage;
  before(async () => (stage = await Stage.open()));
  after(() => stage?.close());
  const cases = LINKS.flatMap(([name, link]) => [
    { name, link, red: true, isPublishers: false },
    { name, link, red: false, isPublishers: false },
    // Nobody can repeat what did not come.
    { name, link, red: true, isPublishers: true },
  ]);
  for (const { name, link, red, isPublishers } of cases) {
    const title = `${name} on the ${isPublishers ? 'publisher’s' : 'viewer’s'} link, ${red ? 'sound published with redundancy' : 'plain Opus published'}`;
    test(title, () =>
      stage.call(async (publisher, viewer) => {
        for (const way of ['down', 'up']) await stage.shaper.set(way, WELL);
        await publisher.publishTone({ red, dtx: false });
        await publisher.publishCamera(CAMERA, { videoCodec: 'vp8' });
        await viewer.sees('publisher');
        const well = await watch(viewer, WELL_SECONDS);
        for (const way of ['down', 'up']) await stage.shaper.set(way, link);
        await pause(SETTLING_MS);
        const { sounds, pictures } = await watch(viewer, SECONDS);
        const [sound, picture] = [heard(sounds), summary(pictures)];
        const [usual, now] = [ahead(well.sounds, well.pictures), ahead(sounds, pictures)];
        console.log(title);
        console.table({ sound, picture });
        console.table(stills(pictures));
        const [mostly, most] = [now.median, now.most].map((millis) => Math.round(millis - usual.median));
        console.log(`sound is ahead of the picture by ${mostly} ms mostly and ${most} ms at most, beside a link that loses nothing`);
        console.log(await stage.shaper.stats());
        assert.ok(isPublishers || sound.lost > 0.015, 'the link loses');
        assert.ok(sound.quietest > 0.5, `sound goes on: the quietest half second has ${sound.quietest} of the usual power`);
        assert.ok(sound.concealed < 0.02, `${sound.concealed} of the sound was made up`);
        assert.ok(picture.frozenSeconds < SECONDS / 100, `the picture stood still for ${picture.frozenSeconds} s`);
      }, isPublishers),
    );
  }
});
