// A participant as a test speaks of it, and what this participant sees and hears.

import { until, untilStill } from '../lib/until.mjs';

// Enough frames that a picture is moving, not just one keyframe shown.
const MOVING_FRAMES = 10;

export class Member {
  constructor(page, key, identity) {
    this.page = page;
    this.key = key;
    this.identity = identity;
  }

  // Runs `act(member, ...args)` in the page, where `member` is the harness' Member; returns its
  // result.
  run(act, ...args) {
    const call = JSON.stringify(args);
    const key = JSON.stringify(this.key);
    return this.page.evaluate(`(${act})(harness.members.get(${key}), ...${call})`);
  }

  // Waits until `probe(member, ...args)` in the page is truthy; returns what it gave.
  until(what, probe, ...args) {
    return until(`${this.identity} ${what}`, () => this.run(probe, ...args));
  }

  publishCamera(capture = { resolution: { width: 640, height: 360 } }, publish = {}) {
    return this.run(
      async (m, capture, publish) => {
        await m.room.localParticipant.setCameraEnabled(true, capture, publish);
      },
      capture,
      publish,
    );
  }

  publishMicrophone(publish = {}) {
    return this.run(async (m, publish) => {
      await m.room.localParticipant.setMicrophoneEnabled(true, undefined, publish);
    }, publish);
  }

  // Publishes a steady tone as the microphone.
  publishTone(publish = {}) {
    return this.run(async (m, publish) => {
      await m.room.localParticipant.publishTrack(harness.tone(), { source: 'microphone', ...publish });
    }, publish);
  }

  leave() {
    return this.run((m) => m.room.disconnect());
  }

  inbound(from, source) {
    return this.run((m, from, source) => m.inbound(from, source), from, source);
  }

  // Waits until moving pictures of `from` are decoded that `accept`; returns their statistics.
  async sees(from, { source = 'camera', what = 'moving pictures', accept = () => true } = {}) {
    let before;
    return until(`${this.identity} sees ${what} of ${from} (${source})`, async () => {
      const now = await this.inbound(from, source);
      if (!now?.framesDecoded || !accept(now)) return ((before = undefined), false);
      before ??= now;
      const moved = now.framesDecoded - before.framesDecoded >= MOVING_FRAMES;
      // A decoder starts to count anew when the track is subscribed anew.
      if (now.framesDecoded < before.framesDecoded) before = now;
      return moved && now;
    });
  }

  seesWidth(from, width) {
    const accept = (s) => s.frameWidth === width;
    return this.sees(from, { what: `pictures ${width} wide`, accept });
  }

  // Waits until sound of `from` is played that is not silence.
  async hears(from, source = 'microphone') {
    let before;
    return until(`${this.identity} hears ${from} (${source})`, async () => {
      const now = await this.inbound(from, source);
      if (!now) return ((before = undefined), false);
      before ??= now;
      if (now.totalAudioEnergy < before.totalAudioEnergy) before = now;
      return now.totalAudioEnergy - before.totalAudioEnergy > 1e-4;
    });
  }

  // Waits until no further picture of `from` is decoded.
  seesStill(from, source = 'camera') {
    const frames = async () => (await this.inbound(from, source))?.framesDecoded ?? 0;
    return untilStill(`${this.identity} sees no new pictures of ${from}`, frames);
  }

  // Waits until there is no sound of `from` any more.
  hearsNothing(from) {
    const energy = async () =>
      Math.round(((await this.inbound(from, 'microphone'))?.totalAudioEnergy ?? 0) * 1e4);
    return untilStill(`${this.identity} hears nothing of ${from}`, energy);
  }

  // Waits for an event of the SDK's Room; `accept` runs in the page, with the event's arguments.
  told(event, accept = () => true) {
    return this.page
      .waitForFunction(
        ([key, event, accept]) =>
          harness.members
            .get(key)
            .heard(event)
            .some((args) => (0, eval)(accept)(...args)),
        [this.key, event, `(${accept})`],
        { polling: 100 },
      )
      .catch((error) => {
        throw new Error(`${this.identity} was not told "${event}": ${error.message}`);
      });
  }
}
