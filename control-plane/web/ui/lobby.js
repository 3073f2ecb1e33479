// Owns the screen before the meeting: preview, devices, name, room, and the way in.
// Must not join: it hands `{room, name, isDirect}` to whoever shows it.

import { h, hueOf, initialsOf, setAttribute, setText, showTrack } from './dom.js';
import { icon, mark, setIcon } from './icons.js';
import { deviceSelects } from './device-menus.js';
import { measureLevel } from '../media/level.js';
import { recall, remember } from '../media/memory.js';

const METER_BARS = 7;

/** `options`: `{media, config, room, isDirect, claims, problem, onJoin}`; `claims` when a token is given. */
export class Lobby {
  element;
  /** Settles when the devices are open, or known not to open. */
  ready;
  #media;
  #options;
  #stops = [];
  #parts = {};
  #meteredTrack;
  #stopMeter = () => {};

  constructor(options) {
    this.#options = options;
    this.#media = options.media;
    const devices = deviceSelects(this.#media);
    this.#stops.push(devices.destroy, this.#media.on('change', () => this.#render()));
    this.element = h(
      'div',
      { class: 'lobby', data: { testid: 'lobby' } },
      h('header', { class: 'lobby-head' }, h('span', { class: 'brand' }, mark(), 'Plenum')),
      h(
        'main',
        { class: 'lobby-main' },
        h('section', { class: 'lobby-preview', 'aria-label': 'Preview' }, this.#preview(), this.#deviceBox(devices.element)),
        this.#form(),
      ),
      h('footer', { class: 'lobby-foot' }, options.config.version && `Plenum ${options.config.version}`),
    );
    this.#render();
    this.ready = this.#openDevices();
  }

  destroy() {
    this.#stops.forEach((stop) => stop());
    this.#stopMeter();
    this.element.remove();
  }

  /** Shows that joining is under way, or, with a sentence, why it did not work. */
  setProgress(isJoining, problem = '') {
    const { join, problemText } = this.#parts;
    join.disabled = isJoining;
    setAttribute(join, 'aria-busy', isJoining);
    setText(join.firstChild, isJoining ? 'Joining…' : 'Join meeting');
    setText(problemText, problem);
    problemText.hidden = !problem;
  }

  async #openDevices() {
    const wantsCamera = recall('camera-on', '1') === '1';
    const wantsMic = recall('mic-on', '1') === '1';
    if (wantsCamera && wantsMic) await this.#media.openBoth();
    else if (wantsCamera) await this.#media.openCamera();
    else if (wantsMic) await this.#media.openMic();
    this.#media.setMicOn(wantsMic);
  }

  #preview() {
    const parts = this.#parts;
    parts.video = h('video', { class: 'mirrored', autoplay: true, playsInline: true, muted: true, 'aria-label': 'Your camera' });
    parts.avatar = h('span', { class: 'avatar', 'aria-hidden': 'true' });
    parts.hint = h('p', { class: 'preview-hint', role: 'status' });
    parts.meter = h('span', { class: 'meter', 'aria-hidden': 'true' }, Array.from({ length: METER_BARS }, () => h('i')));
    parts.mic = this.#toggle('mic', () => this.#toggleMic());
    parts.camera = this.#toggle('camera', () => this.#toggleCamera());
    parts.preview = h(
      'div',
      { class: 'preview', data: { testid: 'preview' } },
      parts.video,
      h('div', { class: 'preview-blank' }, parts.avatar, parts.hint),
      h('div', { class: 'preview-bar' }, parts.meter, parts.mic, parts.camera),
    );
    return parts.preview;
  }

  #toggle(name, onclick) {
    return h('button', { class: 'round', type: 'button', onclick, data: { testid: `lobby-${name}` } }, icon(name));
  }

  #deviceBox(selects) {
    const isRoomy = matchMedia('(min-width: 720px)').matches;
    return h('details', { class: 'devices', open: isRoomy || undefined }, h('summary', {}, 'Devices', icon('up')), selects);
  }

  #form() {
    const { claims, room, isDirect, config, problem, onJoin } = this.#options;
    const parts = this.#parts;
    parts.name = h('input', { value: claims?.name || recall('name'), maxlength: 60, autocomplete: 'name', placeholder: 'How others see you', required: true, data: { testid: 'name-input' }, oninput: () => this.#render() });
    parts.room = h('input', { value: claims?.room || room, maxlength: 100, autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', required: true, data: { testid: 'room-input' } });
    parts.direct = h('input', { type: 'checkbox', role: 'switch', checked: isDirect, data: { testid: 'direct-switch' } });
    parts.problemText = h('p', { class: 'problem', role: 'alert', hidden: true, data: { testid: 'lobby-problem' } });
    parts.join = h('button', { class: 'primary', type: 'submit', data: { testid: 'join-button' } }, h('span', {}, 'Join meeting'));
    const form = h(
      'form',
      {
        class: 'lobby-form',
        novalidate: true,
        onsubmit: (event) => {
          event.preventDefault();
          this.#submit(onJoin);
        },
      },
      h('h1', {}, claims ? 'Ready to join?' : 'Meet, right here.'),
      h('p', { class: 'lede' }, claims ? invitation(claims) : 'Check how you look and sound, then go in.'),
      claims ? undefined : h('label', { class: 'field' }, h('span', {}, 'Your name'), parts.name),
      claims ? undefined : h('label', { class: 'field' }, h('span', {}, 'Room'), parts.room),
      directChoice(parts.direct),
      !claims && !config.guest_access && h('p', { class: 'note', data: { testid: 'guest-note' } }, icon('notice'), 'Guests need an invitation link here. Ask the host for one.'),
      parts.problemText,
      parts.join,
    );
    if (problem) this.setProgress(false, problem);
    return form;
  }

  #submit(onJoin) {
    const { name, room, direct } = this.#parts;
    const isToken = Boolean(this.#options.claims);
    for (const [input, word] of isToken ? [] : [[name, 'Please tell us your name.'], [room, 'Please name the room.']]) {
      const isEmpty = !input.value.trim();
      setAttribute(input, 'aria-invalid', isEmpty ? 'true' : undefined);
      if (!isEmpty) continue;
      this.setProgress(false, word);
      input.focus();
      return;
    }
    if (!isToken) remember('name', name.value.trim());
    onJoin({ room: room.value.trim(), name: name.value.trim(), isDirect: direct.checked });
  }

  async #toggleMic() {
    const isOn = !this.#media.isMicOn;
    if (isOn) {
      await this.#media.openMic();
      this.#media.setMicOn(true);
    } else this.#media.closeMic();
    remember('mic-on', isOn ? '1' : '0');
  }

  async #toggleCamera() {
    const isOn = !this.#media.isCameraOn;
    if (isOn) await this.#media.openCamera();
    else this.#media.closeCamera();
    remember('camera-on', isOn ? '1' : '0');
  }

  #render() {
    const { video, avatar, hint, mic, camera, preview } = this.#parts;
    const media = this.#media;
    const name = this.#parts.name?.value.trim() ?? '';
    showTrack(video, media.cameraTrack);
    preview.dataset.camera = media.isCameraOn ? 'on' : 'off';
    setText(avatar, name ? initialsOf(name) : '');
    avatar.hidden = !name;
    avatar.style.setProperty('--hue', hueOf(name));
    setText(hint, hintOf(media));
    this.#parts.meter.hidden = !media.isMicOn;
    dress(mic, media.isMicOn, 'mic', 'microphone');
    dress(camera, media.isCameraOn, 'camera', 'camera');
    this.#meter();
  }

  #meter() {
    const track = this.#media.isMicOn ? this.#media.micTrack : undefined;
    if (track === this.#meteredTrack) return;
    this.#meteredTrack = track;
    this.#stopMeter();
    const lights = [...this.#parts.meter.children];
    const show = (level) => lights.forEach((light, index) => light.classList.toggle('lit', level * METER_BARS > index + 0.5));
    show(0);
    this.#stopMeter = track ? measureLevel(track, show) : () => {};
  }
}

function directChoice(input) {
  const words = h('span', { class: 'choice-words' }, h('b', {}, 'Direct call for two'), h('span', {}, 'Sound and picture go straight between the two of you. If a third joins, the meeting goes on through the server.'));
  return h('label', { class: 'choice' }, input, h('i', { class: 'choice-switch', 'aria-hidden': 'true' }), words);
}

function hintOf({ trouble, isCameraOn }) {
  const troubles = [isCameraOn ? '' : trouble.camera, trouble.mic].filter(Boolean);
  if (troubles.length === 2 && troubles.every((sentence) => sentence.includes('blocked'))) {
    return 'Camera and microphone are blocked. Allow them in your browser’s address bar, or join without.';
  }
  return troubles.length > 0 ? `${troubles.join(' ')} You can join without.` : 'Your camera is off';
}

function dress(button, isOn, name, word) {
  setIcon(button.querySelector('svg'), isOn ? name : `${name}Off`);
  button.classList.toggle('off', !isOn);
  setAttribute(button, 'aria-label', isOn ? `Turn ${word} off` : `Turn ${word} on`);
  button.dataset.on = String(isOn);
}

function invitation({ room, name, identity }) {
  const who = name || identity;
  return [room ? `You are invited to “${room}”` : 'You have an invitation', who && ` as ${who}`, '.'].filter(Boolean).join('');
}
