// Sound with a known content, and looking for that content in what was decoded.

import {
  AudioFrame,
  AudioSource,
  AudioStream,
  LocalAudioTrack,
  TrackKind,
  TrackPublishOptions,
  TrackSource,
} from '@livekit/rtc-node';
import { until } from '../lib/until.mjs';

const RATE = 48_000;
const AMPLITUDE = 8_000;

// Publishes a sine of `hertz` as the microphone for as long as the participant stays.
export async function publishTone(member, hertz = 440) {
  const source = new AudioSource(RATE, 1);
  const track = LocalAudioTrack.createAudioTrack('tone', source);
  const options = new TrackPublishOptions({ source: TrackSource.SOURCE_MICROPHONE });
  const publication = await member.local.publishTrack(track, options);
  let playing = true;
  const play = async () => {
    const length = RATE / 50;
    for (let at = 0; playing; at += length) {
      const samples = Int16Array.from(
        { length },
        (_, i) => AMPLITUDE * Math.sin((2 * Math.PI * hertz * (at + i)) / RATE),
      );
      await source.captureFrame(new AudioFrame(samples, RATE, 1, length));
    }
  };
  const played = play();
  member.endings.push(async () => {
    playing = false;
    await played;
    await track.close();
  });
  return publication;
}

// Share of a signal's energy at one frequency (Goertzel), 1 for a pure tone.
function shareOf(samples, hertz) {
  const w = 2 * Math.cos((2 * Math.PI * hertz) / RATE);
  let [s1, s2, energy] = [0, 0, 0];
  for (const sample of samples) {
    [s1, s2] = [sample + w * s1 - s2, s1];
    energy += sample * sample;
  }
  const power = s1 * s1 + s2 * s2 - w * s1 * s2;
  return energy ? (2 * power) / (samples.length * energy) : 0;
}

// Waits until a tenth of a second of somebody's decoded sound is that tone and little else.
export async function hearsTone(member, identity, hertz = 440) {
  const stream = new AudioStream(await member.track(identity, TrackKind.KIND_AUDIO), RATE, 1);
  const reader = stream.getReader();
  let window = [];
  let heard = false;
  const listen = async () => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      window = window.concat([...value.data]).slice(-RATE / 10);
      const loud = window.length === RATE / 10 && Math.max(...window) > AMPLITUDE / 4;
      heard ||= loud && shareOf(window, hertz) > 0.8;
    }
  };
  const listened = listen();
  try {
    await until(`${member.identity} hears ${hertz} Hz of ${identity}`, () => heard);
  } finally {
    await reader.cancel();
    await listened;
  }
}
