import { vi } from 'vitest';
import { createClient } from '../../src/index.ts';
import type { ChannelOptions } from '../../src/wire.ts';
import { actionsOf, breathe, type Published, pass, type Stage } from './actions.ts';
import { type Chance, createChance } from './chance.ts';
import { createFollower } from './follower.ts';
import { createWorld, type World } from './server.ts';

const names = ['a', 'b.x', 'b.y', 'b.*'];
const steps = 60;

type Fault = (text: string) => never;

/** Runs the program of a seed: chance decides what the application, the network and the server do, until everything is let settle. */
export async function run(seed: number): Promise<void> {
  const chance = createChance(seed);
  const told: string[] = [];
  const faults: string[] = [];
  const fault: Fault = (text) => {
    faults.push(text); // nobody may hear it where it is thrown
    throw new Error(`program ${seed}: ${faults[0]}\n${told.join('\n')}`);
  };
  const stage = setStage(chance, told, fault);
  const look = (): void => {
    if (stage.client.getSnapshot().state === 'error') fault('it gave up');
    for (const follower of stage.followers) follower.look();
    if (faults.length > 0) fault('');
  };
  const actions = actionsOf(stage);
  for (let i = 0; i < steps; i++) {
    const what = await chance.pick(actions)?.();
    if (what) told.push(what);
    if (!chance.oneIn(3)) await breathe();
    look();
  }
  told.push('then everything settles');
  await settle(stage, look);
  check(stage, fault);
  look();
  stage.client.disconnect();
  vi.clearAllTimers();
}

function setStage(chance: Chance, told: string[], fault: Fault): Stage {
  const page = Object.assign(new EventTarget(), { visibilityState: 'visible' });
  vi.stubGlobal('document', page);
  vi.stubGlobal('addEventListener', () => {});
  const joins = chance.oneIn(3) ? 'a' : undefined;
  const world = createWorld(names, joins, chance);
  const client = createClient({ transports: [world.transport], token: chance.oneIn(2) ? 'token' : () => 'token' });
  const all = new Set<string>();
  client.onMessage(({ channel, position }) => {
    const key = `${channel} ${position?.offset}@${position?.epoch}`;
    if (all.has(key)) fault(`onMessage was told of ${key} twice`);
    all.add(key);
  });
  client.onError(({ reason }) => {
    if (reason === 'DISCONNECTED') fault('the application is told that its own client has taken its session over');
  });
  const followers = names.map((name) => {
    const options = optionsOf(name, chance);
    told.push(`${name} with ${JSON.stringify(options)}${name === joins ? ', joined by the address' : ''}`);
    return createFollower(client, name, options, world.logs, name === joins, fault);
  });
  return { chance, client, world, followers, published: [], present: new Map(), page };
}

/** Lets the network be good, for longer than a lost session is present. */
async function settle({ client, world }: Stage, look: () => void): Promise<void> {
  client.connect();
  for (let i = 0; i < 50; i++) {
    await breathe();
    for (let more = true; more; ) {
      more = false;
      for (const way of world.ways()) {
        if (way.state === 'opening') way.accept();
        for (const carry of [way.toServer, way.toClient]) {
          more = carry() || more;
          await breathe();
          look();
        }
      }
    }
    await pass(1000, 1000);
  }
}

function check({ client, world, followers, published, present }: Stage, fault: Fault): void {
  for (const follower of followers) follower.check();
  const { state, queued } = client.getSnapshot();
  if (state !== 'connected') fault(`it is ${state}`);
  if (queued > 0) fault(`${queued} commands wait`);
  const wanted = followers.filter((f) => f.size > 0).map((f) => f.name);
  same('subscribed', world.subscribed(), wanted, fault);
  same(
    'present',
    world.present(),
    [...present].map(([name, data]) => `${name} as ${data}`),
    fault,
  );
  for (const { channel, name, isWatching } of followers) {
    const shown = channel.presence.getSnapshot().members.map(({ data }) => String(data));
    if (isWatching && name !== 'b.*') same(`members of ${name}`, shown, world.members(name).map(String), fault);
  }
  for (const each of published) checkPublished(each, world, fault);
}

function optionsOf(name: string, chance: Chance): ChannelOptions {
  if (chance.oneIn(4) && name !== 'b.*') return { recent: 1 + chance.below(3) };
  return chance.oneIn(4) ? { filter: { types: ['shown'] } } : {};
}

function same(what: string, got: readonly string[], want: readonly string[], fault: Fault): void {
  const [a, b] = [got, want].map((list) => [...list].sort().join(', '));
  if (a !== b) fault(`${what}: ${a || 'nothing'}, and wanted is ${b || 'nothing'}`);
}

function checkPublished({ channel, data, outcome }: Published, world: World, fault: Fault): void {
  const placed = world.logs.channels.get(channel)?.filter((m) => m.data === data) ?? [];
  const epochs = new Set(placed.map((m) => m.epoch)); // a server that starts again has forgotten what it had
  if (!outcome) fault(`nobody knows what became of ${data}`);
  if (placed.length > epochs.size) fault(`${data} was placed ${placed.length} times`);
  if (outcome === 'acknowledged' && placed.length === 0) fault(`${data} was acknowledged, and not placed`);
  if (outcome === 'refused' && placed.length > 0) fault(`${data} was refused, and placed`);
}
