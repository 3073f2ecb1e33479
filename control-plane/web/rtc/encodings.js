// Owns what is sent for a video track: its encodings, the layers announced for them, and which
// of them the room currently wants. Pure functions. Reference: W3C webrtc-pc, RFC 8853.

import { RID_OF } from './shape.js';

const CAMERA = [
  { rid: 'q', quality: 'LOW', scale: 4, bitrate: 150_000 },
  { rid: 'h', quality: 'MEDIUM', scale: 2, bitrate: 450_000 },
  { rid: 'f', quality: 'HIGH', scale: 1, bitrate: 1_700_000 },
];
const DIRECT_BITRATE = 2_500_000;
const SCREEN_BITRATE = 2_500_000;
const SCREEN_FPS = 15;

/** Encodings and layers of a camera track: three from 960 pixels on the long side, two from 480, else one. */
export function cameraPlan(width, height) {
  const long = Math.max(width, height);
  if (long < 480) return singlePlan(width, height, { maxBitrate: CAMERA[1].bitrate });
  const count = long >= 960 ? 3 : 2;
  const chosen = CAMERA.slice(0, count).map((entry, index) => ({ ...entry, scale: 2 ** (count - 1 - index) }));
  return {
    encodings: chosen.map(({ rid, scale, bitrate }) => ({
      rid,
      active: true,
      scaleResolutionDownBy: scale,
      maxBitrate: bitrate,
    })),
    layers: chosen.map(({ quality, scale, bitrate }) => layerOf(quality, width / scale, height / scale, bitrate)),
  };
}

/** One encoding of a camera for the one who watches: nobody is there to choose among several. */
export function directPlan(width, height) {
  return singlePlan(width, height, { maxBitrate: DIRECT_BITRATE });
}

/** One encoding for a screen: sharp text matters more than motion. */
export function screenPlan(width, height) {
  return singlePlan(width, height, { maxBitrate: SCREEN_BITRATE, maxFramerate: SCREEN_FPS });
}

function singlePlan(width, height, encoding) {
  return { encodings: [{ active: true, ...encoding }], layers: [layerOf('HIGH', width, height, encoding.maxBitrate)] };
}

function layerOf(quality, width, height, bitrate) {
  return { quality, width: Math.round(width), height: Math.round(height), bitrate };
}

/**
 * Which encodings a SubscribedQualityUpdate wants: a Map from rid to boolean. A track of one
 * encoding has no rid: it is wanted when any quality is.
 */
export function wantedRids(update) {
  const qualities = update.subscribedCodecs?.[0]?.qualities ?? update.subscribedQualities ?? [];
  return new Map(qualities.map(({ quality = 'LOW', enabled = false }) => [RID_OF[quality], enabled]));
}

/** Switches encodings on and off through `sender`; true when something changed. */
export async function applyWanted(sender, wanted) {
  const parameters = sender.getParameters();
  let isChanged = false;
  for (const encoding of parameters.encodings ?? []) {
    const active = encoding.rid ? wanted.get(encoding.rid) : [...wanted.values()].some(Boolean);
    if (active === undefined || active === encoding.active) continue;
    encoding.active = active;
    isChanged = true;
  }
  if (isChanged) await sender.setParameters(parameters);
  return isChanged;
}

/** Puts VP8 first: every subscriber can decode it and every browser sends its layers. */
export function preferVp8(transceiver) {
  const codecs = RTCRtpSender.getCapabilities?.('video')?.codecs;
  if (!codecs || !transceiver.setCodecPreferences) return;
  const isVp8 = ({ mimeType }) => mimeType.toLowerCase() === 'video/vp8';
  try {
    transceiver.setCodecPreferences([...codecs.filter(isVp8), ...codecs.filter((codec) => !isVp8(codec))]);
  } catch {
    // The browser's own order works too.
  }
}
