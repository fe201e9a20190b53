// Asks a server through the unmodified npm client.
// Standard input: {url, token, calls: [{op, query, cache, timezone, decompose}]}.
// Standard output: for each call what the client made of the answer, or the error it threw.
import cube from "@cubejs-client/core";

const VIEWS = ["rawData", "tablePivot", "tableColumns", "chartPivot", "series", "seriesNames", "categories"];
const PARTS = ["annotation", "query", "pivotQuery"];

function read(results) {
  const found = {};
  for (const name of [...VIEWS, ...PARTS]) {
    try {
      found[name] = results[name]();
    } catch (error) {
      found[name] = { error: error.message };
    }
  }
  return found;
}

async function streamed(client, query, options) {
  const chunks = [];
  for await (const chunk of client.cubeSqlStream(query, options)) chunks.push(chunk);
  return chunks;
}

async function call(client, { op, query, cache, timezone, decompose }) {
  if (op === "meta") {
    const meta = await client.meta();
    const names = meta.cubes.map((each) => each.name);
    const grouped = Object.keys(meta.membersGroupedByCube());
    return { cubes: names, grouped, operators: meta.filterOperatorsForMember(`${names[0]}.count`, "measures").length };
  }
  if (op === "sql") return (await client.sql(query)).sql();
  if (op === "dryRun") return await client.dryRun(query);
  if (op === "cubeSql") return await client.cubeSql(query, { cache, timezone });
  if (op === "cubeSqlStream") return await streamed(client, query, { cache, timezone });
  const results = await client.load(query, cache ? { cache } : {});
  return decompose ? results.decompose().map(read) : read(results);
}

async function attempt(client, each) {
  try {
    return await call(client, each);
  } catch (error) {
    return { clientError: error.message, status: error.status, response: error.response };
  }
}

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { url, token, calls } = JSON.parse(Buffer.concat(chunks).toString());
const client = cube(token, { apiUrl: `${url}/cubejs-api/v1` });
const found = [];
for (const each of calls) found.push(await attempt(client, each));
process.stdout.write(JSON.stringify(found));
