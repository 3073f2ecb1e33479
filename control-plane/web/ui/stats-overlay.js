// Owns the table of connection details, refreshed every second while it is open.

import { h } from './dom.js';
import { icon } from './icons.js';
import { StatsProbe } from '../rtc/stats.js';

const EVERY_MS = 1000;
const SOURCES = { CAMERA: 'camera', MICROPHONE: 'microphone', SCREEN_SHARE: 'screen', SCREEN_SHARE_AUDIO: 'screen audio' };
const COLUMNS = ['Track', 'Codec', 'Layer', 'Size', 'fps', 'kbit/s', 'Loss', 'RTT', 'Jitter'];

export class StatsOverlay {
  element;
  #probe;
  #body = h('tbody', {});
  #total = h('p', { class: 'stats-total', data: { testid: 'stats-total' } });
  #timer;
  #isBusy = false;

  constructor(conference, onClose) {
    this.#probe = new StatsProbe(conference);
    const table = h('table', {}, h('thead', {}, h('tr', {}, COLUMNS.map((name) => h('th', { scope: 'col' }, name)))), this.#body);
    this.element = h(
      'section',
      { class: 'stats', 'aria-label': 'Connection details', hidden: true, data: { testid: 'stats-overlay' } },
      h('header', {}, h('h2', {}, 'Connection details'), h('button', { class: 'icon-button small', type: 'button', 'aria-label': 'Close connection details', onclick: onClose }, icon('close'))),
      this.#total,
      h('div', { class: 'stats-scroll', tabIndex: 0, role: 'region', 'aria-label': 'Tracks' }, table),
    );
  }

  get isOpen() {
    return !this.element.hidden;
  }

  setOpen(isOpen) {
    this.element.hidden = !isOpen;
    clearInterval(this.#timer);
    if (!isOpen) return;
    this.#refresh();
    this.#timer = setInterval(() => this.#refresh(), EVERY_MS);
  }

  destroy() {
    clearInterval(this.#timer);
  }

  async #refresh() {
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      const rows = await this.#probe.rows();
      const total = rows.at(-1);
      this.#total.replaceChildren(...totalOf(total));
      this.#body.replaceChildren(...group('Sent', rows, 'send'), ...group('Received', rows, 'receive'));
    } finally {
      this.#isBusy = false;
    }
  }
}

function group(title, rows, direction) {
  const own = rows.filter((row) => row.direction === direction);
  const head = h('tr', { class: 'stats-group' }, h('th', { colspan: COLUMNS.length, scope: 'rowgroup' }, own.length ? title : `${title}: nothing`));
  return [head, ...own.map(rowOf)];
}

function rowOf(row) {
  const source = SOURCES[row.source] ?? row.kind;
  const cells = [
    row.codec.toLowerCase(),
    row.layer || '–',
    row.width ? `${row.width}×${row.height}` : '–',
    row.kind === 'video' ? number(row.fps, 0) : '–',
    number(row.bitrate / 1000, 0),
    number(row.lossPercent, 1, ' %'),
    number(row.rttMs, 0, ' ms'),
    number(row.jitterMs, 0, ' ms'),
  ];
  const name = row.direction === 'send' ? source : `${row.name}, ${source}`;
  const isIdle = row.direction === 'send' && (!row.isActive || row.bitrate === 0);
  return h('tr', { class: isIdle ? 'idle' : '' }, h('th', { scope: 'row' }, name), cells.map((cell) => h('td', {}, cell)));
}

function totalOf({ sendBitrate, receiveBitrate, availableBitrate, rttMs, signalRttMs, protocol, path }) {
  const parts = [
    ['Sending', `${number(sendBitrate / 1000, 0)} kbit/s`],
    ['Receiving', `${number(receiveBitrate / 1000, 0)} kbit/s`],
    availableBitrate !== undefined && ['Uplink estimate', `${number(availableBitrate / 1000, 0)} kbit/s`],
    ['RTT', number(rttMs, 0, ' ms')],
    ['Signalling', number(signalRttMs, 0, ' ms')],
    protocol && ['Transport', protocol],
    path && ['Direct', path],
  ].filter(Boolean);
  return parts.map(([label, value]) => h('span', {}, `${label} `, h('b', {}, value)));
}

function number(value, digits, unit = '') {
  return value === undefined || Number.isNaN(value) ? '–' : value.toFixed(digits) + unit;
}
