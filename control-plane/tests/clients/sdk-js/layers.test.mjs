// The right size for every viewer: asked for by hand, by the size of the element on screen, and
// nothing sent that nobody watches.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../lib/until.mjs';
import { scene } from './scene.mjs';

const CAPTURE = { resolution: { width: 960, height: 540 } };
const setQuality = (m, quality) => m.publication('alice', 'camera').setVideoQuality(quality);
const resize = (m, width, height) => {
  const [element] = m.publication('alice', 'camera').track.attachedElements;
  Object.assign(element.style, { width: `${width}px`, height: `${height}px` });
};

test(
  'a viewer gets the quality it asks for, up and down',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await alice.publishCamera(CAPTURE);
    await bob.seesWidth('alice', 960);
    const { LOW, MEDIUM, HIGH } = { LOW: 0, MEDIUM: 1, HIGH: 2 };
    for (const [quality, width] of [
      [LOW, 320],
      [MEDIUM, 640],
      [HIGH, 960],
      [LOW, 320],
      [HIGH, 960],
    ]) {
      await bob.run(setQuality, quality);
      await bob.seesWidth('alice', width);
    }
  }),
);

test(
  'two viewers of one track get different qualities',
  scene(async ({ join }) => {
    const [alice, bob, carol] = [await join('alice'), await join('bob'), await join('carol')];
    await alice.publishCamera(CAPTURE);
    await bob.seesWidth('alice', 960);
    await carol.seesWidth('alice', 960);
    await carol.run(setQuality, 0);
    await carol.seesWidth('alice', 320);
    await bob.seesWidth('alice', 960);
  }),
);

test(
  'a viewer that asks for given dimensions gets the layer that covers them',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await alice.publishCamera(CAPTURE);
    await bob.seesWidth('alice', 960);
    await bob.run((m) =>
      m.publication('alice', 'camera').setVideoDimensions({ width: 500, height: 281 }),
    );
    await bob.seesWidth('alice', 640);
  }),
);

test(
  'a picture that there is no room for is told to be paused, and to go on',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await alice.publishCamera(CAPTURE);
    await bob.seesWidth('alice', 960);
    await bob.run((m) => {
      m.states = [];
      m.room.on('trackStreamStateChanged', (publication, state, { identity }) => {
        m.states.push([identity, publication.source, state]);
      });
    });
    const allow = (m, bits) => m.room.simulateScenario('subscriber-bandwidth', bits);
    const told = (m) => m.states;
    await bob.run(allow, 20_000);
    await bob.until('is told of the pause', (m) => m.states.length >= 1);
    await bob.run(allow, 0);
    await bob.until('is told of its end', (m) => m.states.length >= 2);
    await bob.sees('alice');
    assert.deepEqual(await bob.run(told), [
      ['alice', 'camera', 'paused'],
      ['alice', 'camera', 'active'],
    ]);
  }),
);

test(
  'adaptive stream: the picture follows the size of its element',
  scene(async ({ join }) => {
    const alice = await join('alice');
    const bob = await join('bob', { options: { adaptiveStream: true } });
    await alice.publishCamera(CAPTURE);
    await bob.sees('alice');
    for (const width of [960, 320, 640]) {
      await bob.run(resize, width, (width * 9) / 16);
      await bob.seesWidth('alice', width);
    }
  }),
);

test(
  'adaptive stream: a hidden picture stops and comes back',
  scene(async ({ join }) => {
    const alice = await join('alice');
    const bob = await join('bob', { options: { adaptiveStream: true } });
    await alice.publishCamera(CAPTURE);
    await bob.sees('alice');
    const show = (m, display) => {
      m.publication('alice', 'camera').track.attachedElements[0].style.display = display;
    };
    await bob.run(show, 'none');
    await bob.seesStill('alice');
    await bob.run(show, 'block');
    await bob.sees('alice');
  }),
);

test(
  'a disabled publication stops and comes back',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await alice.publishCamera(CAPTURE);
    await bob.sees('alice');
    const enable = (m, enabled) => m.publication('alice', 'camera').setEnabled(enabled);
    await bob.run(enable, false);
    await bob.seesStill('alice');
    await bob.run(enable, true);
    await bob.sees('alice');
  }),
);

test(
  'dynacast: the publisher stops encoding what nobody watches, and starts again',
  scene(async ({ join }) => {
    const alice = await join('alice', { options: { dynacast: true } });
    const bob = await join('bob');
    await alice.publishCamera(CAPTURE);
    await bob.seesWidth('alice', 960);
    const encoded = (rid) => async () => {
      const encodings = await alice.run((m) => m.outbound('camera'));
      const { active, framesEncoded } = encodings.find((e) => e.rid === rid) ?? {};
      return active && framesEncoded > 0;
    };
    await until('alice encodes the highest layer', encoded('f'));
    await bob.run(setQuality, 0);
    await bob.seesWidth('alice', 320);
    await until('alice stops the highest layer', async () => !(await encoded('f')()));
    assert.ok(await encoded('q')(), 'the watched layer must go on');
    await bob.run(setQuality, 2);
    await bob.seesWidth('alice', 960);
  }),
);
