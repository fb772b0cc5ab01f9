// Asks in MDP/0.1 on a REQ socket, once for each body, and prints each reply's frames as JSON.
const zmq = require("zeromq");
(async () => {
  const [, , endpoint, service, ...bodies] = process.argv;
  const s = new zmq.Request();
  s.connect(endpoint);
  for (const body of bodies) {
    await s.send(["MDPC01", service, body]);
    console.log(JSON.stringify((await s.receive()).map(String)));
  }
  s.close();
})();
