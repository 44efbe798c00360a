// A Callgate plugin without any dependency: it has one action, and says what it did as an event.
//
//     callgate run .                                        # here: a bus with this plugin on it
//     callgate call my-plugin.hello '{"name": "Ada"}'       # elsewhere: the action
//     callgate listen my-plugin.greeted                     # its events
//
// Frames come as lines on stdin and go out as lines on stdout that begin with `IPC:`. Whatever else is printed is a line of
// the plugin's log (`callgate logs my-plugin`).
'use strict';

function send(frame) {
  process.stdout.write(`IPC:${JSON.stringify(frame)}\n`);
}

function publish(topic, payload) {
  // The manifest has to declare `events.publish:` with this topic.
  send({ type: 'events.publish', topic, payload });
}

// Each is called as `my-plugin.<action>`, with the caller's argument as params.
const actions = new Map([
  ['hello', ({ name = 'world' }) => {
    publish('my-plugin.greeted', name);
    return { text: `Hello, ${name}!` };
  }],
]);

async function answer({ action, params = {} }) {
  const handler = actions.get(action);
  if (handler === undefined) {
    return { error: { code: 'UNKNOWN_ACTION', message: `there is no action ${action}` } };
  }
  try {
    return { result: await handler(params) };
  } catch (error) {
    return { error: { code: 'FAILED', message: String(error) } };
  }
}

async function handle(frame) {
  if (frame.type === 'ping') {
    // A plugin that does not answer is killed and started again.
    send({ type: 'pong', nonce: frame.nonce });
  } else if (frame.type === 'request') {
    send({ type: 'response', id: frame.id, ...await answer(frame) });
  } else {
    console.error('not handled:', frame.type);
  }
}

// Lines are split by hand, because the module `readline` ends them at U+2028 as well.
let pieces = [];
process.stdin.on('data', (chunk) => {
  let start = 0;
  for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
    pieces.push(chunk.subarray(start, end));
    handle(JSON.parse(Buffer.concat(pieces).toString()));
    pieces = [];
    start = end + 1;
  }
  pieces.push(chunk.subarray(start));
});

send({ type: 'ready' });
