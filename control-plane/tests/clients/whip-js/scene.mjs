// A scene of the SDK's tests with encoders and players beside its participants.

import { readFile } from 'node:fs/promises';
import { url } from '../lib/env.mjs';
import { mintToken } from '../lib/token.mjs';
import { until } from '../lib/until.mjs';
import { scene as sdkScene } from '../sdk-js/scene.mjs';

const CLIENT = await readFile(new URL('./client.js', import.meta.url), 'utf8');

// An encoder or a player in the page.
class Client {
  constructor(page, key) {
    this.page = page;
    this.key = key;
  }

  // Runs `act(session, ...args)` in the page.
  run(act, ...args) {
    const call = JSON.stringify(args);
    const key = JSON.stringify(this.key);
    return this.page.evaluate(`(${act})(whip.sessions.get(${key}), ...${call})`);
  }

  video() {
    return this.run((s) => s.inbound('video'));
  }

  // Waits until further pictures are decoded that `accept`; returns their statistics.
  async sees(what = 'moving pictures', accept = () => true) {
    let before;
    return until(`${this.key} sees ${what}`, async () => {
      const now = await this.video();
      if (!now?.framesDecoded || !accept(now)) return ((before = undefined), false);
      before ??= now;
      return now.framesDecoded - before.framesDecoded >= 10 && now;
    });
  }

  async hears() {
    let before;
    return until(`${this.key} hears`, async () => {
      const now = await this.run((s) => s.inbound('audio'));
      if (!now) return false;
      before ??= now;
      return now.totalAudioEnergy - before.totalAudioEnergy > 1e-4;
    });
  }

  close() {
    return this.run((s) => s.close());
  }
}

// As the SDK's `scene`, with { publish, play }.
export function scene(body, flags = []) {
  return sdkScene(async (stage) => {
    const { page, room } = stage;
    await page.evaluate(CLIENT);
    const open = async (how, key, path, grant, ...rest) => {
      const token = await mintToken(room, key, grant);
      const call = JSON.stringify([key, url + path, token, ...rest]);
      await page.evaluate(`whip.${how}(...${call})`);
      return new Client(page, key);
    };
    await body({
      ...stage,
      publish: (identity, ...rest) => open('publish', identity, '/whip', {}, ...rest),
      play: (identity, of = '') =>
        open('play', identity, `/whep/${room}${of && `/${of}`}`, { canPublish: false }),
    });
  }, flags);
}
