import { describe, expect, it, vi } from 'vitest';
import type { Answer, Offer } from '../signal/generated';
import { Peer } from './peer';
import {
  FakeEncryption,
  FakePeerConnection,
  settle,
  type Transcript,
  useFakeBrowser,
} from './testing';

const track = (id: string): MediaStreamTrack =>
  ({ id, getSettings: () => ({}) }) as MediaStreamTrack;

function start() {
  const transcript: Transcript = [];
  const encryption = new FakeEncryption(transcript);
  const pc = new FakePeerConnection(transcript);
  const offers: { offer: Offer; answer: (answer: Partial<Answer>) => void; refuse: () => void }[] =
    [];
  const states: string[] = [];
  const slots: string[] = [];
  const peer = new Peer({
    codec: 'vp8',
    connection: 3,
    encryption,
    create: () => pc as unknown as RTCPeerConnection,
    offer: (offer) =>
      new Promise((resolve, reject) => {
        transcript.push(offer.sdp);
        offers.push({
          offer,
          answer: (answer) => resolve({ connection: 3, sdp: 'answer', ...answer }),
          refuse: () => reject(new Error('refused')),
        });
      }),
    onSlot: ({ name }) => slots.push(name),
    onState: (state) => states.push(state),
    onBypass: () => states.push('bypass'),
  });
  return { transcript, encryption, pc, offers, states, slots, peer };
}

useFakeBrowser();

describe('Peer', () => {
  it('sets each transform right after its section is made, and before any offer', async () => {
    const { transcript, peer } = start();
    peer.grow({ video: 1, audio: 1 });
    await settle();
    expect(transcript).toEqual([
      'add audio sendonly',
      'attach mic',
      'add video sendonly',
      'attach camera',
      'add video recvonly',
      'attach video-3-0',
      'add audio recvonly',
      'attach audio-3-0',
      'offer of 4',
    ]);
  });

  it('gives a sender its track only after acknowledgement and keys', async () => {
    const { transcript, encryption, peer } = start();
    void peer.setTrack('mic', track('voice'));
    await settle();
    expect(transcript).not.toContain('send audio voice');
    encryption.haveKeys();
    await settle();
    expect(transcript).not.toContain('send audio voice');
    encryption.acknowledgeTransforms();
    await settle();
    expect(transcript).toContain('send audio voice');
  });

  it('sends the encodings that are watched, and touches nothing else', async () => {
    const { transcript, peer, pc } = start();
    await settle();
    transcript.length = 0;
    const demand = (watched: boolean, ...rids: string[]): void =>
      peer.demand([{ source: 'camera', watched, rids }]);
    demand(true, 'q', 'h', 'f');
    await settle();
    expect(transcript).toEqual([]); // as it was
    demand(true, 'q', 'h');
    await settle();
    demand(false);
    await settle();
    pc.busy = 2; // somebody else changes the parameters
    demand(true, 'q');
    demand(true, 'q', 'f');
    await settle();
    peer.demand([{ source: 'screen', watched: true, rids: [] }]);
    await settle();
    expect(transcript).toEqual(['encode video q h', 'encode video nothing', 'encode video q f']);
  });

  it('stops sending at once, whatever is under way', async () => {
    const { transcript, encryption, peer } = start();
    void peer.setTrack('mic', track('voice'));
    void peer.setTrack('mic', null);
    encryption.haveKeys();
    encryption.acknowledgeTransforms();
    await settle();
    expect(transcript.filter((line) => line.startsWith('send'))).toEqual(['send audio nothing']);
  });

  it('sends the last of several tracks', async () => {
    const { transcript, encryption, peer } = start();
    void peer.setTrack('camera', track('front'));
    void peer.setTrack('camera', track('back'));
    encryption.haveKeys();
    encryption.acknowledgeTransforms();
    await settle();
    expect(transcript.filter((line) => line.startsWith('send'))).toEqual(['send video back']);
  });

  it('sends nothing after it was closed', async () => {
    const { transcript, encryption, peer } = start();
    void peer.setTrack('mic', track('voice'));
    peer.close();
    encryption.haveKeys();
    encryption.acknowledgeTransforms();
    await settle();
    expect(transcript.at(-1)).toBe('close');
  });

  it('has one offer under way at a time, and puts what comes meanwhile into the next', async () => {
    const { offers, peer, slots } = start();
    peer.grow({ video: 4, audio: 3 });
    await settle();
    peer.grow({ video: 9, audio: 3 });
    peer.grow({ video: 9, audio: 6 });
    await settle();
    expect(offers.map(({ offer }) => offer.sdp)).toEqual(['offer of 9']);
    offers[0]?.answer({});
    await settle();
    expect(offers.map(({ offer }) => offer.sdp)).toEqual(['offer of 9', 'offer of 17']);
    offers[1]?.answer({});
    await settle();
    expect(offers).toHaveLength(2);
    expect(slots).toHaveLength(15);
  });

  it('says what its uplinks carry, and knows its slots by mid', async () => {
    const { offers, peer } = start();
    peer.grow({ video: 1, audio: 1 });
    await settle();
    expect(offers[0]?.offer).toMatchObject({
      connection: 3,
      tracks: [
        { mid: '0', source: 'mic' },
        { mid: '1', source: 'camera' },
      ],
    });
    expect(peer.slotOfMid('2')).toBe('video-3-0');
    expect(peer.slotOfMid('3')).toBe('audio-3-0');
    expect(peer.has('video-3-0')).toBe(true);
    expect(peer.has('video-2-0')).toBe(false);
    expect(peer.slotOfMid('0')).toBeUndefined();
  });

  it('does not shrink and does not offer what it has', async () => {
    const { offers, peer } = start();
    peer.grow({ video: 4, audio: 3 });
    await settle();
    offers[0]?.answer({});
    peer.grow({ video: 1, audio: 1 });
    await settle();
    expect(offers).toHaveLength(1);
  });

  it('stops for good when the browser sends past the transform', async () => {
    const { encryption, pc, peer, states, transcript } = start();
    void peer.setTrack('camera', track('front'));
    encryption.haveKeys();
    encryption.acknowledgeTransforms();
    await settle();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(states).toEqual([]);
    pc.stats = { bytesSent: 900 };
    await vi.advanceTimersByTimeAsync(1_000);
    expect(states).toEqual(['bypass']);
    expect(transcript.slice(-3)).toEqual(['send audio nothing', 'send video nothing', 'close']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('stops for good when a transform is taken off, whatever the worker does', async () => {
    const { encryption, peer, states, transcript } = start();
    void peer.setTrack('camera', track('front'));
    encryption.haveKeys();
    encryption.acknowledgeTransforms();
    await settle();
    encryption.given = () => new Promise(() => undefined);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(states).toEqual([]);
    encryption.intact = () => false;
    await vi.advanceTimersByTimeAsync(250);
    expect(states).toEqual(['bypass']);
    expect(transcript.at(-1)).toBe('close');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('sends nothing while the worker does not answer, and then what is wanted by then', async () => {
    const { encryption, peer, states, transcript } = start();
    void peer.setTrack('mic', track('voice'));
    void peer.setTrack('camera', track('front'));
    encryption.haveKeys();
    encryption.acknowledgeTransforms();
    await settle();
    const sent = (): Transcript => transcript.splice(0).filter((line) => line.startsWith('send'));
    expect(sent()).toEqual(['send audio voice', 'send video front']);

    const { given } = encryption;
    const answers: (() => void)[] = [];
    encryption.given = () =>
      new Promise((resolve) => answers.push(() => void given().then(resolve)));
    await vi.advanceTimersByTimeAsync(3_000);
    expect(sent()).toEqual(['send audio nothing', 'send video nothing']);
    await peer.setTrack('camera', track('back'));
    await peer.setTrack('mic', null);
    expect(sent()).toEqual(['send video nothing', 'send audio nothing']);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(sent()).toEqual([]);

    encryption.given = given;
    for (const answer of answers) answer();
    await settle();
    expect(sent()).toEqual(['send video back']);
    await peer.setTrack('mic', track('voice'));
    expect(sent()).toEqual(['send audio voice']);
    expect(states).toEqual([]);
    peer.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('does not look any more once nothing is sent', async () => {
    const { encryption, peer } = start();
    void peer.setTrack('mic', track('voice'));
    encryption.haveKeys();
    encryption.acknowledgeTransforms();
    await settle();
    expect(vi.getTimerCount()).toBe(2);
    await peer.setTrack('mic', null);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is down, and offers nothing, when a slot gets no transform', async () => {
    const { encryption, offers, peer, states } = start();
    encryption.attachReceiver = () => {
      throw new Error('no transform');
    };
    peer.grow({ video: 1, audio: 0 });
    await settle();
    expect(states).toEqual(['down']);
    expect(offers).toEqual([]);
  });

  it('is down for good when an offer is refused', async () => {
    const { offers, peer, states, transcript } = start();
    peer.grow({ video: 1, audio: 0 });
    await settle();
    offers[0]?.refuse();
    await settle();
    expect(states).toEqual(['down']);
    expect(transcript.at(-1)).toBe('close');
  });

  it('ignores an answer to another connection', async () => {
    const { offers, peer, transcript } = start();
    peer.grow({ video: 1, audio: 0 });
    await settle();
    offers[0]?.answer({ connection: 2 });
    await settle();
    expect(transcript.some((line) => line.startsWith('answered'))).toBe(false);
  });

  it('waits a while for ICE to recover, then restarts it, then gives up', async () => {
    const { pc, states, offers } = start();
    pc.become('connected');
    pc.become('disconnected');
    pc.become('connected');
    expect(vi.getTimerCount()).toBe(0);
    pc.become('disconnected');
    await vi.advanceTimersByTimeAsync(1_900);
    expect(offers).toEqual([]);
    await vi.advanceTimersByTimeAsync(200);
    expect(offers.map(({ offer }) => offer.sdp)).toEqual(['offer of 2, restarting']);
    offers[0]?.answer({});
    pc.become('connecting');
    await vi.advanceTimersByTimeAsync(12_800);
    expect(states).toEqual(['up', 'up']);
    await vi.advanceTimersByTimeAsync(200);
    expect(states).toEqual(['up', 'up', 'down']);
    expect(offers).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('restarts ICE and nothing else: sections, tracks and transforms stay', async () => {
    const { encryption, offers, pc, peer, states, transcript } = start();
    peer.grow({ video: 1, audio: 1 });
    void peer.setTrack('mic', track('voice'));
    encryption.haveKeys();
    encryption.acknowledgeTransforms();
    await settle();
    offers[0]?.answer({});
    await settle();
    pc.become('connected');
    transcript.length = 0;
    peer.restart();
    peer.restart(); // once is enough
    await settle();
    offers[1]?.answer({});
    await settle();
    expect(offers[1]?.offer).toMatchObject({ connection: 3, tracks: offers[0]?.offer.tracks });
    expect(transcript).toEqual(['offer of 4, restarting', 'answered answer']);
    expect(vi.getTimerCount()).toBe(2); // the check of what is sent, as before
    peer.restart();
    peer.grow({ video: 2, audio: 1 });
    await settle();
    offers[2]?.answer({});
    await settle();
    expect(offers.map(({ offer }) => offer.sdp).slice(2)).toEqual([
      'offer of 4, restarting',
      'offer of 5',
    ]);
    expect(states).toEqual(['up']);
  });

  it('puts a restart that comes while an offer is under way into the next', async () => {
    const { offers, pc, peer } = start();
    pc.become('connected');
    peer.grow({ video: 1, audio: 0 });
    await settle();
    peer.restart();
    offers[0]?.answer({});
    await settle();
    expect(offers.map(({ offer }) => offer.sdp)).toEqual(['offer of 3', 'offer of 3, restarting']);
    offers[1]?.answer({});
    await settle();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is down when a restart is refused: the server has given it up', async () => {
    const { offers, pc, peer, states } = start();
    pc.become('connected');
    peer.restart();
    await settle();
    offers[0]?.refuse();
    await settle();
    expect(states).toEqual(['up', 'down']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('does not restart what never stood', async () => {
    const { offers, pc, peer } = start();
    pc.become('connecting');
    peer.restart();
    await settle();
    expect(offers).toEqual([]);
  });
});
