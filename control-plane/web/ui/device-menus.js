// Owns the choice of devices: as menu sections during the meeting, as selects in the lobby.

import { h } from './dom.js';
import { listDevices } from '../media/devices.js';

const KINDS = {
  mics: { title: 'Microphone', chosen: (media) => media.micId, choose: (media, id) => media.chooseMic(id), track: (media) => media.micTrack },
  cameras: { title: 'Camera', chosen: (media) => media.cameraId, choose: (media, id) => media.chooseCamera(id), track: (media) => media.cameraTrack },
  speakers: { title: 'Speaker', chosen: (media) => media.speakerId, choose: (media, id) => media.chooseSpeaker(id), track: () => undefined },
};

/** The device in use: that of the open track, else the chosen one, else the first. */
function currentId(kind, media, devices) {
  const { chosen, track } = KINDS[kind];
  const candidates = [track(media)?.getSettings().deviceId, chosen(media)];
  return candidates.find((id) => devices.some((device) => device.id === id)) ?? devices[0]?.id;
}

/** Menu sections for `kinds` ("mics", "cameras", "speakers"). */
export async function deviceSections(media, kinds) {
  const all = await listDevices();
  return kinds
    .filter((kind) => kind !== 'speakers' || all.speakers.length > 0)
    .map((kind) => {
      const current = currentId(kind, media, all[kind]);
      const items = all[kind].map(({ id, label }) => ({
        label,
        isChecked: id === current,
        onChoose: () => KINDS[kind].choose(media, id),
      }));
      return { title: KINDS[kind].title, items: items.length ? items : [{ label: `No ${KINDS[kind].title.toLowerCase()} found`, onChoose() {} }] };
    });
}

/** Three labelled selects that follow the devices as they come and go. */
export function deviceSelects(media) {
  const selects = {};
  const fields = Object.entries(KINDS).map(([kind, { title, choose }]) => {
    const select = h('select', { 'aria-label': title, data: { testid: `select-${kind}` }, onchange: () => choose(media, select.value) });
    selects[kind] = select;
    return h('label', { class: 'field device-field', data: { kind } }, h('span', {}, title), select);
  });
  const refresh = async () => {
    const all = await listDevices();
    for (const [kind, select] of Object.entries(selects)) {
      const current = currentId(kind, media, all[kind]);
      select.replaceChildren(...all[kind].map(({ id, label }) => h('option', { value: id }, label)));
      select.value = current ?? '';
      select.disabled = all[kind].length === 0;
      if (select.disabled) select.append(h('option', {}, 'None found'));
      select.closest('label').hidden = kind === 'speakers' && select.disabled;
    }
  };
  navigator.mediaDevices?.addEventListener('devicechange', refresh);
  const stop = media.on('change', refresh);
  refresh();
  const destroy = () => {
    stop();
    navigator.mediaDevices?.removeEventListener('devicechange', refresh);
  };
  return { element: h('div', { class: 'device-selects' }, fields), destroy };
}
