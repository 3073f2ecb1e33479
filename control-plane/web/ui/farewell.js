// Owns the screen after the meeting: why it ended, and the ways back in.

import { h, formatDuration } from './dom.js';
import { icon, mark } from './icons.js';
import { endingOf } from '../rtc/reasons.js';

/** `options`: `{reason, durationMs, onRejoin, onHome}`. */
export function farewell({ reason, durationMs, onRejoin, onHome }) {
  const { title, detail } = endingOf(reason);
  const rejoin = h('button', { class: 'primary', type: 'button', onclick: onRejoin, data: { testid: 'rejoin-button' } }, 'Rejoin');
  const element = h(
    'main',
    { class: 'farewell', data: { testid: 'leave-screen', reason } },
    mark(),
    h('h1', { tabIndex: -1 }, title),
    detail && h('p', { class: 'lede' }, detail),
    durationMs > 0 && h('p', { class: 'farewell-time' }, `You were there for ${formatDuration(durationMs)}`),
    h('div', { class: 'farewell-actions' }, rejoin, h('button', { class: 'secondary', type: 'button', onclick: onHome, data: { testid: 'home-button' } }, icon('lobby'), 'Back to the lobby')),
  );
  return element;
}
