// Owns one tile: a participant's camera, or a shared screen. Shows what it is told, decides nothing.

import { h, hueOf, initialsOf, setAttribute, setText, showTrack } from './dom.js';
import { bars, icon, setIcon } from './icons.js';

const QUALITY = { LOST: 0, POOR: 1, GOOD: 2, EXCELLENT: 3 };
const QUALITY_WORDS = ['connection lost', 'poor connection', 'good connection', 'excellent connection'];

export class Tile {
  element;
  #video = h('video', { autoplay: true, playsInline: true, muted: true, 'aria-hidden': 'true' });
  #avatar = h('span', { class: 'avatar', 'aria-hidden': 'true' });
  #name = h('span', { class: 'tile-name' });
  #micIcon = icon('micOff');
  #bars = bars();
  #hint = h('span', { class: 'tile-hint', hidden: true });
  #pin;
  #pinIcon = icon('pin');
  #why;

  /** `onPin` is called when the person asks for this tile to be large, or no longer; `onWhy` when they ask why it looks as it does. */
  constructor(onPin, onWhy) {
    this.#why = h('button', { class: 'icon-button tile-pin', type: 'button', onclick: onWhy, data: { testid: 'why-button' } }, icon('help'));
    this.#pin = h('button', { class: 'icon-button tile-pin', type: 'button', onclick: onPin, data: { testid: 'pin-button' } }, this.#pinIcon);
    this.element = h(
      'article',
      { class: 'tile', tabIndex: 0, ondblclick: onPin, data: { testid: 'tile' } },
      h('div', { class: 'tile-blank' }, this.#avatar),
      this.#video,
      h('div', { class: 'tile-label' }, this.#micIcon, this.#name),
      h('div', { class: 'tile-corner' }, this.#why, this.#pin, this.#bars),
      this.#hint,
    );
    // A stream's real shape decides whether cropping it is fair.
    this.#video.addEventListener('resize', () => this.#judgeShape());
  }

  get video() {
    return this.#video;
  }

  /** `view`: a tile description of tiles.js; `isLarge` when it has the spotlight. */
  show(view, isLarge) {
    const { element } = this;
    element.dataset.identity = view.identity;
    element.dataset.kind = view.kind;
    element.dataset.me = String(view.isMe);
    element.dataset.track = view.trackSid;
    element.dataset.video = view.track ? 'on' : 'off';
    element.dataset.mic = view.isMicMuted ? 'off' : 'on';
    element.classList.toggle('speaking', view.isSpeaking);
    element.classList.toggle('large', isLarge);
    element.classList.toggle('mirrored', view.isMe && view.kind === 'camera');
    element.style.setProperty('--hue', hueOf(view.identity));
    showTrack(this.#video, view.track);
    setText(this.#avatar, initialsOf(view.name));
    setText(this.#name, view.label);
    this.#micIcon.toggleAttribute('hidden', !view.isMicMuted || view.kind === 'screen');
    this.#showQuality(view);
    setText(this.#hint, view.hint);
    this.#hint.hidden = !view.hint;
    setIcon(this.#pinIcon, isLarge ? 'unpin' : 'pin');
    setAttribute(this.#pin, 'aria-label', isLarge ? `Unpin ${view.label}` : `Pin ${view.label}`);
    this.#why.hidden = !view.isExplained;
    setAttribute(this.#why, 'aria-label', `Why ${view.label} looks like this`);
    setAttribute(element, 'aria-label', describe(view));
  }

  place({ x, y, width, height }) {
    const { style } = this.element;
    this.element.hidden = false;
    style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
    style.width = `${width.toFixed(1)}px`;
    style.height = `${height.toFixed(1)}px`;
    this.element.classList.toggle('tiny', width < 190 || height < 110);
  }

  hide() {
    this.element.hidden = true;
  }

  destroy() {
    this.#video.srcObject = null;
    this.element.remove();
  }

  #showQuality({ quality, isMe, kind }) {
    const level = QUALITY[quality] ?? 3;
    this.#bars.dataset.level = level;
    this.#bars.toggleAttribute('hidden', kind === 'screen' || (level === 3 && !isMe) || (isMe && level === 3));
  }

  #judgeShape() {
    const { videoWidth, videoHeight } = this.#video;
    this.element.classList.toggle('portrait', videoHeight > videoWidth);
  }
}

function describe({ label, kind, isMicMuted, track, isSpeaking, quality, hint }) {
  if (kind === 'screen') return hint ? `${label}, ${hint}` : label;
  const parts = [label, isMicMuted ? 'microphone muted' : 'microphone on', track ? 'camera on' : 'camera off'];
  if (isSpeaking) parts.push('speaking');
  if (quality === 'POOR' || quality === 'LOST') parts.push(QUALITY_WORDS[QUALITY[quality]]);
  if (hint) parts.push(hint);
  return parts.join(', ');
}
