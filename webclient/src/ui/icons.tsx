import type { JSX } from 'solid-js';

// Lucide's icons (ISC licence), each imported by itself, at one size and stroke.
export { default as Copy } from 'lucide-solid/icons/link';
export { default as Key } from 'lucide-solid/icons/key-round';
export { default as Leave } from 'lucide-solid/icons/phone-off';
export { default as Lock } from 'lucide-solid/icons/lock-keyhole';
export { default as Mic } from 'lucide-solid/icons/mic';
export { default as MicOff } from 'lucide-solid/icons/mic-off';
export { default as People } from 'lucide-solid/icons/users';
export { default as Shield } from 'lucide-solid/icons/shield-check';
export { default as ShieldAlert } from 'lucide-solid/icons/shield-alert';
export { default as Hourglass } from 'lucide-solid/icons/hourglass';
export { default as Video } from 'lucide-solid/icons/video';
export { default as VideoOff } from 'lucide-solid/icons/video-off';
export { default as Warning } from 'lucide-solid/icons/triangle-alert';
export { default as Close } from 'lucide-solid/icons/x';

/** The keyhole in a speech bubble, in the colour of the text around it. */
export function Logo(): JSX.Element {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <path
        fill="currentColor"
        fill-rule="evenodd"
        d="M8 2h16a6 6 0 0 1 6 6v12a6 6 0 0 1-6 6h-9l-6.4 4.6A1 1 0 0 1 7 29.8V26a5 5 0 0 1-5-5V8a6 6 0 0 1 6-6Zm8 5a4.2 4.2 0 0 0-2.1 7.84L12.6 20.3a.9.9 0 0 0 .88 1.1h5.04a.9.9 0 0 0 .88-1.1l-1.3-5.46A4.2 4.2 0 0 0 16 7Z"
      />
    </svg>
  );
}
