// Echoes in MDP/0.1, with a mark in front. A DISCONNECT is answered on a new socket.
const zmq = require("zeromq");
const READY = 1, REQUEST = 2, REPLY = 3, HEARTBEAT = 4, DISCONNECT = 5;
const [, , endpoint, service] = process.argv;
const serve = async () => {
  const s = new zmq.Dealer();
  s.connect(endpoint);
  let queue = Promise.resolve();
  const say = (command, ...frames) =>
    (queue = queue.then(() => s.send(["", "MDPW01", Buffer.from([command]), ...frames])));
  say(READY, service);
  const beat = setInterval(() => say(HEARTBEAT), 500);
  for await (const [, , command, client, , ...body] of s) {
    if (command[0] === REQUEST) say(REPLY, client, "", "js", ...body);
    else if (command[0] === DISCONNECT) break;
  }
  clearInterval(beat);
  await queue;
  s.close();
};
(async () => {
  while (true) await serve();
})();
