// Owns the drawings: 24-pixel line icons and the mark. Decorative: the label is on the button.

const SVG = 'http://www.w3.org/2000/svg';

const PATHS = {
  mic: 'M12 3.5a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0v-5a3 3 0 0 0-3-3ZM5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3',
  micOff: 'M9 9.2v2.3a3 3 0 0 0 4.7 2.5M15 11V6.5a3 3 0 0 0-5.8-1M5.5 11.5a6.5 6.5 0 0 0 10.3 5.3M18.5 11.5a6.4 6.4 0 0 1-.5 2.4M12 18v3M4 3.5l16 17',
  camera: 'M5 6.5h8.5a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2ZM15.5 10.8l4.4-2.7a.7.7 0 0 1 1.1.6v6.6a.7.7 0 0 1-1.1.6l-4.4-2.7',
  cameraOff: 'M9.5 6.5h4a2 2 0 0 1 2 2v3l5.5-3.4v8M15.5 15.5a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-7c0-.8.5-1.5 1.1-1.8M4 3.5l16 17',
  screen: 'M4.5 4.5h15a1.5 1.5 0 0 1 1.5 1.5v9.5a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 15.5V6a1.5 1.5 0 0 1 1.5-1.5ZM8.5 20.5h7M12 13.5v-6M9.3 10 12 7.3l2.7 2.7',
  screenOff: 'M4.5 4.5h15a1.5 1.5 0 0 1 1.5 1.5v9.5a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 15.5V6a1.5 1.5 0 0 1 1.5-1.5ZM8.5 20.5h7M9.7 8.4l4.6 4.6M14.3 8.4l-4.6 4.6',
  chat: 'M5 4.5h14a2 2 0 0 1 2 2v8.5a2 2 0 0 1-2 2h-7.5L7 20.5V17H5a2 2 0 0 1-2-2V6.5a2 2 0 0 1 2-2ZM7.5 9h9M7.5 12.5h5.5',
  people: 'M9 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM2.5 19.5c.5-3.3 3-5.2 6.5-5.2s6 1.9 6.5 5.2M15.8 4.9a3.3 3.3 0 0 1 0 6.3M17.6 14.7c2.2.7 3.5 2.4 3.9 4.8',
  stats: 'M4 20V12M9.3 20V5M14.7 20v-9M20 20V8',
  more: 'M5.5 12h.01M12 12h.01M18.5 12h.01',
  leave: 'M3.2 14.6c-.6-1.5-.2-3 1-4C6.2 8.9 9 8 12 8s5.8.9 7.8 2.6c1.2 1 1.6 2.5 1 4l-.3.7a1.2 1.2 0 0 1-1.5.7l-2.8-.9a1.2 1.2 0 0 1-.8-1l-.2-1.7c-2-.7-4.4-.7-6.4 0l-.2 1.7a1.2 1.2 0 0 1-.8 1l-2.8.9a1.2 1.2 0 0 1-1.5-.7l-.3-.7Z',
  pin: 'M9 3.5h6M10 3.5v6.2L7 13v1.5h10V13l-3-3.3V3.5M12 14.5v6',
  unpin: 'M9 3.5h6M10 6.5v3.2L7 13v1.5h7.5M14 3.5v5.5M12 14.5v6M4 3.5l16 17',
  link: 'M10 14a4 4 0 0 0 5.7 0l3.1-3.1a4 4 0 0 0-5.7-5.7L12 6.3M14 10a4 4 0 0 0-5.7 0l-3.1 3.1a4 4 0 0 0 5.7 5.7l1.1-1.1',
  close: 'M6 6l12 12M18 6 6 18',
  up: 'M6.5 14.5 12 9l5.5 5.5',
  left: 'M14.5 6 8.5 12l6 6',
  right: 'M9.5 6l6 6-6 6',
  send: 'M4 12 20 4.5 15.5 20l-3.7-6.3L4 12ZM11.8 13.7 20 4.5',
  check: 'M5 12.5 10 17.5 19.5 7',
  warning: 'M12 4 2.8 19.5h18.4L12 4ZM12 10v4.5M12 17.3h.01',
  notice: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 11v5.5M12 7.7h.01',
  help: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM9.5 9.5a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.1.9-1.1 1.8M12 16.7h.01',
  speaker: 'M4 9.5v5h3.5L12 18.5v-13L7.5 9.5H4ZM15.5 9a4 4 0 0 1 0 6M18 6.5a7.8 7.8 0 0 1 0 11',
  expand: 'M9 4H4v5M15 4h5v5M9 20H4v-5M15 20h5v-5',
  pause: 'M9 6v12M15 6v12',
  lobby: 'M4 11.5 12 5l8 6.5M6.5 10v9h11v-9',
};

/** The icon `name`; size comes from CSS. */
export function icon(name) {
  const path = element('path', { d: PATHS[name] });
  return element('svg', { viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true', focusable: 'false' }, path);
}

/** Swaps the drawing inside `svg` when it is another one. */
export function setIcon(svg, name) {
  const path = svg.firstChild;
  if (path.getAttribute('d') !== PATHS[name]) path.setAttribute('d', PATHS[name]);
}

/** The mark: the seats of an assembly, one of them speaking. */
export function mark() {
  const svg = element('svg', { viewBox: '0 0 48 30', class: 'mark', 'aria-hidden': 'true', focusable: 'false' });
  for (const [radius, seats, size] of [[21, 9, 2.1], [13.5, 6, 2.1], [6.5, 3, 2.1]]) {
    for (let seat = 0; seat < seats; seat += 1) {
      const angle = Math.PI * (seat / (seats - 1));
      const isSpeaking = radius === 13.5 && seat === 3;
      svg.append(
        element('circle', {
          cx: (24 - radius * Math.cos(angle)).toFixed(2),
          cy: (26 - radius * Math.sin(angle)).toFixed(2),
          r: isSpeaking ? 3 : size,
          class: isSpeaking ? 'mark-speaking' : 'mark-seat',
        }),
      );
    }
  }
  return svg;
}

/** Three bars, `level` of them lit (0 to 3). */
export function bars() {
  const svg = element('svg', { viewBox: '0 0 16 16', class: 'bars', 'aria-hidden': 'true', focusable: 'false' });
  for (const [x, height] of [[1, 5], [6.5, 9.5], [12, 14]]) {
    svg.append(element('rect', { x, y: 15 - height, width: 3, height, rx: 1.2 }));
  }
  return svg;
}

function element(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
