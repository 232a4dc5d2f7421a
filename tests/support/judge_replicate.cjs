// What the `replicate` package for node makes of the service: one case, told as JSON. See test_judges.
//
//     node judge_replicate.cjs URL KEY CASE

const Replicate = require("replicate");

const SCHNELL = "black-forest-labs/flux-schnell";
const PRO = "black-forest-labs/flux-1.1-pro";
const POLLING = { mode: "poll", interval: 10 };
const input = { prompt: "a boat" };

const [url, key, name] = process.argv.slice(2);
const client = new Replicate({ auth: key, baseUrl: url });

const names = (output) =>
  Array.isArray(output) ? output.map(names) : String(output).split("/").pop();

const run = async (wait) => [
  names(await client.run(SCHNELL, { input, wait })),
  names(await client.run(PRO, { input, wait })),
];

const cases = {
  async create() {
    const created = await client.predictions.create({ model: SCHNELL, input: { ...input, num_outputs: 2 } });
    const ended = await client.wait(created, { interval: 10 });
    return [created.status, ended.status, names(ended.output)];
  },
  async by_version() {
    const created = await client.predictions.create({ version: PRO, input });
    return names((await client.wait(created, { interval: 10 })).output);
  },
  run_blocking: () => run({ mode: "block" }),
  run_polling: () => run(POLLING),
  async read_file() {
    const output = await client.run(PRO, { input });
    const bytes = Buffer.from(await (await output.blob()).arrayBuffer());
    return bytes.subarray(8, 12).toString();
  },
  async cancel() {
    const created = await client.predictions.create({ model: PRO, input });
    return (await client.predictions.cancel(created.id)).status;
  },
  async fail() {
    const told = await client.run(SCHNELL, { input, wait: POLLING }).catch((error) => error);
    return told.message.replace("Prediction failed: ", "");
  },
  async be_refused() {
    const told = await client.run(SCHNELL, { input: {} }).catch((error) => error);
    return [told.response.status, JSON.parse(told.message.slice(told.message.indexOf("{"), -1)).detail];
  },
};

cases[name]().then((told) => console.log(JSON.stringify(told)));
