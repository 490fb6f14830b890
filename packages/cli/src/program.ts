import { Argument, Command, InvalidArgumentError, Option, type CommanderError } from "commander";
import { parseBytes } from "@signalbox/worker/spool-config";
import { parseDuration } from "./durations.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import { Invocation, type CommonOptions } from "./invocation.ts";
import { sanitise } from "./sanitise.ts";
import type { BulkAction } from "./verbs/bulk.ts";
import type { AuditOptions } from "./verbs/audit.ts";
import type { RunOptions } from "./verbs/run.ts";
import type { SpoolAction } from "./verbs/spool.ts";
import type { SteerOptions } from "./verbs/steer.ts";
import { actorChoices, auditChoices, levelChoices, stateWords } from "./words.ts";

/** How a command line ended: the exit code is set by its verb. */
export interface ProgramRun {
  exitCode: number;
}

const exitCodeHelp = `
Exit codes:
  0    done
  1    refused, or failed
  2    the command line cannot be understood
  3    no such job, attempt or worker, or several fit
  4    no server at the address, or no link to it
  5    the token is missing or not accepted
  6    asked, but not decided in time: what was asked stands
  130  Ctrl+C

Environment:
  SIGNALBOX_URL, SIGNALBOX_TOKEN, SIGNALBOX_TOKEN_FILE, SIGNALBOX_DATA   which server, as for workers
  NO_COLOR, FORCE_COLOR                                                  colours off, or on`;

/**
 * The tree of verbs. What a verb does is loaded when it runs, so that the command starts fast. `run` takes the exit code of the verb;
 * a command line that cannot be understood throws CommanderError.
 */
export function createProgram(version: string, run: ProgramRun): Command {
  const program: Command = new Command("signalbox")
    .description("The control room for long-running jobs: start, watch and steer them from a terminal.")
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .helpCommand("help [verb]", "print help for a verb")
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .addHelpText("before", ({ error }) => {
      const [first, word] = program.args;
      return error && first === "help" && word !== undefined
        ? `signalbox: there is no verb '${sanitise(word)}'.\n`
        : "";
    })
    .addHelpText("after", exitCodeHelp);
  withCommonOptions(program);

  /** A verb that ends at a signal. */
  const verb = <Args extends unknown[]>(
    command: Command,
    act: (invocation: Invocation, ...args: Args) => Promise<number>,
  ) => {
    withCommonOptions(command);
    command.action(async (...args: unknown[]) => {
      const invocation = new Invocation({ ...program.opts<CommonOptions>(), ...command.opts<CommonOptions>() });
      try {
        // Commander puts the command itself last.
        run.exitCode = await invocation.interruptible(() => act(invocation, ...(args.slice(0, -1) as Args)));
      } finally {
        await invocation.close();
      }
    });
  };
  const job = () => new Argument("<job>", "id, unique beginning of an id, or unique name");
  const jobsArgument = () => new Argument("[job...]", "ids, unique beginnings of ids, or unique names");
  const jobsAnd = (name: string, value: string) =>
    new Argument(`[${name}...]`, `jobs, by id, unique beginning of an id, or unique name, and last ${value}`);
  const worker = () => new Argument("<worker>", "name of a worker");

  program
    .command("serve")
    .summary("start the server")
    .description("Starts the server that comes with this clone, with the options and settings of the server.")
    .argument("[options...]", "see signalbox serve --help")
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .action(async (args: string[]) => {
      run.exitCode = await (await import("./verbs/serve.ts")).serve(args);
    });

  const runCommand = program
    .command("run")
    .summary("run any program as a job")
    .description(
      "Runs a program here, as it would run without, and as a job in the room: its output live, its levers obeyed. It runs also " +
        "while the server is away. Ends with the program's exit code; 128 + the signal's number if one ended it.",
    )
    .argument("<command...>", "the program and its arguments, after --")
    .option("--name <name>", "what the job is called (default: the command)")
    .option("--label <key=value>", "label of the job; may be repeated", collect)
    .option(
      "--tty",
      "give it a terminal: its standard error becomes part of its standard output, and lines end with CR LF",
    )
    .option("--no-progress", "do not read progress out of what it prints")
    .addOption(
      durationOption("--grace <time>", "how long what it leaves behind has to end by itself (default: 2s)", "1h"),
    )
    .option("--leave", "do not end what it has started and left behind")
    .option("--keep-input-open", "people can send input on when standard input has ended")
    .option("--no-spool", "keep what the server does not have yet in memory only")
    .option("--spool-dir <folder>", "where it is kept (default: spool in the data folder)")
    .addOption(bytesOption("--spool-size <bytes>", "how much of it may be kept, as 500M or 2G (default: 1G)"))
    .addOption(
      new Option("--spool-full <policy>", "what happens when it is full (default: the program waits)").choices([
        "wait",
        "drop-oldest-debug",
        "drop-oldest",
      ]),
    )
    .option("--redact-env <name>", "variable whose value is a secret, whatever it is called; may be repeated", collect)
    .option(
      "--redact-except <name>",
      "variable whose value is none, although its name says so; may be repeated",
      collect,
    )
    .option("--redact-pattern <pattern>", "shape of a secret in a line, as RE2 has it; may be repeated", collect)
    .option("--no-redact-defaults", "do not mask the well-known shapes of secrets")
    .option("--no-redact", "mask nothing in the room but Signalbox's own token")
    .passThroughOptions();
  withCommonOptions(runCommand, "without --json").action(
    async (words: string[], options: CommonOptions & RunOptions) => {
      const invocation = new Invocation({ ...program.opts<CommonOptions>(), ...options });
      run.exitCode = await (await import("./verbs/run.ts")).run(invocation, words, options);
    },
  );

  verb(
    program
      .command("start")
      .summary("start a job")
      .description(
        "Starts a job of a type that a worker offers. With --follow or --wait the exit code is the job's outcome.",
      )
      .addArgument(new Argument("<type>", "job type, see signalbox types"))
      .addArgument(new Argument("[key=value...]", "parameters; what a value is follows from the type's schema"))
      .option("--parameters <json>", "parameters as JSON, as a file with it, or - for standard input")
      .option("--name <name>", "what the job is called (default: the type)")
      .option("--label <key=value>", "label of the job; may be repeated", collect)
      .option("--speed <items/s>", "items per second, or unlimited")
      .option("--priority <number>", "place in the queue, -100 to 100; higher goes first")
      .addOption(new Option("--level <level>", "lowest level that it sends").choices(levelChoices))
      .option("--paused", "hold it in the queue until it is resumed")
      .option("--worker <worker>", "the only worker that may run it")
      .option("--selector <key=value>", "label that a worker must have to run it; may be repeated", collect)
      .option("--attempts <number>", "try it so often in all when it fails (default: as its type says)", positiveNumber)
      .addOption(
        durationOption("--back-off <time>", "with --attempts: wait before the second; twice as long each time"),
      )
      .option("--retry-lost", "with --attempts: also when its worker is lost for 45 s")
      .addOption(durationOption("--deadline <time>", "how long an attempt may run (default: as its type says)"))
      .option("--deadline-while-paused", "with --deadline: its clock runs on while the job is paused")
      .option("-f, --follow", "print its log until it has ended")
      .option("--wait", "wait until it has ended")
      .option("--input <file>", "send it a file, or - for standard input, and print its log until it has ended")
      .option("--attach", "stay with it: its log and progress, and keys that steer it")
      .option("--rate <events/s>", "with --attach: at most so many lines and other events a second", positiveRate)
      .option("--cancel-on-close", "with --attach: cancel it when this ends before it does"),
    async (invocation, type: string, words: string[], options: object) =>
      (await import("./verbs/start.ts")).start(invocation, type, words, options),
  );

  verb(
    program
      .command("jobs")
      .summary("list jobs")
      .description("Lists jobs, newest first.")
      .addOption(new Option("--state <state...>", "only jobs in these states").choices(stateWords))
      .option("--type <type>", "only jobs of this type")
      .option("--label <key=value>", "only jobs with this label, or with key alone; may be repeated", collect)
      .option("--worker <worker>", "only jobs whose newest attempt is this worker's")
      .option("--text <text>", "only jobs with this in their name or id")
      .option("--limit <number>", "at most so many; 0: all", wholeNumber, 50)
      .option("-w, --watch", "keep the list up to date until Ctrl+C")
      .option("--wide", "do not cut columns to the width of the terminal"),
    async (invocation, options: { limit: number }) => (await import("./verbs/jobs.ts")).jobs(invocation, options),
  );

  verb(
    program
      .command("job")
      .summary("show one job")
      .description("Shows one job: its levers asked and observed, its commands with their receipts, its attempts.")
      .addArgument(job()),
    async (invocation, ref: string) => (await import("./verbs/job.ts")).job(invocation, ref),
  );

  verb(
    program
      .command("logs")
      .summary("print a job's log")
      .description(
        "Prints the log of a job's newest attempt. What a terminal would obey in it is made visible; colours stay on a terminal.",
      )
      .addArgument(job())
      .option("-f, --follow", "go on until the job has ended, also over lost links")
      .option("--from <line>", "begin at this line", positiveNumber)
      .option("--lines <number>", "print at most so many lines", wholeNumber)
      .option("--tail <number>", "begin so many lines before the end", wholeNumber)
      .option("--attempt <number>", "another attempt than the newest", positiveNumber)
      .option("--late", "lines that came after the attempt was given up")
      .addOption(new Option("--level <level>", "only lines of this level and above").choices(levelChoices))
      .option("--raw", "print the exact bytes and nothing else")
      .option("--timestamps", "print the time of each line")
      .option("--exit-code", "with --follow: end with the job's outcome"),
    async (invocation, ref: string, options: object) =>
      (await import("./verbs/logs.ts")).logs(invocation, ref, options),
  );

  verb(
    program
      .command("attach")
      .summary("stay with a job: its log, its progress, and keys that steer it")
      .description(
        "Joins a job and stays with it until it has ended: prints its log, shows its progress on a terminal, and takes keys: p pause, " +
          "r resume, c cancel (twice), + - speed, l log level, i a line of input, q leave, ? help. The exit code is the job's outcome.",
      )
      .addArgument(job())
      .option("--from <line>", "begin at this line", positiveNumber)
      .option("--tail <number>", "begin so many lines before the end (default: 10)", wholeNumber)
      .option("--no-log", "print no lines")
      .option("--rate <events/s>", "at most so many lines and other events a second", positiveRate)
      .option("--cancel-on-close", "cancel the job when this ends before it does")
      .option("--raw", "print the exact bytes of the log")
      .option("--timestamps", "print the time of each line"),
    async (invocation, ref: string, options: object) =>
      (await import("./verbs/attach.ts")).attach(invocation, ref, options),
  );

  const steer = async () => import("./verbs/steer.ts");
  verb(
    withMany(withReceipt(program.command("pause").summary("make jobs stand still").addArgument(jobsArgument())))
      .description("Makes jobs stand still at their next safe point; holds those that wait in the queue.")
      .addOption(durationOption("--for <time>", "for so long, then let them run again", "366d"))
      .option("--by-system", "stop their processes where they are (SIGSTOP), if their type allows it")
      .option("--reason <text>", "why, for people"),
    async (invocation, refs: string[], options: SteerOptions) => (await steer()).pause(invocation, refs, options),
  );
  verb(
    withMany(withReceipt(program.command("resume").summary("let jobs go on").addArgument(jobsArgument())))
      .description("Lets jobs go on that stand still or are held.")
      .option("--reason <text>", "why, for people"),
    async (invocation, refs: string[], options: SteerOptions) => (await steer()).resume(invocation, refs, options),
  );
  verb(
    withMany(withReceipt(program.command("cancel").summary("end jobs").addArgument(jobsArgument())))
      .description("Ends jobs. A second cancel may shorten the grace. Waits for the end: the grace and 5 s.")
      .addOption(
        durationOption("--grace <time>", "how long a job may take to end by itself; 0: at once (default: 10s)", "49d"),
      )
      .option("--reason <text>", "why, for people"),
    async (invocation, refs: string[], options: SteerOptions) => (await steer()).cancel(invocation, refs, options),
  );
  verb(
    withMany(withReceipt(program.command("speed").summary("set the speed of jobs")))
      .description("Sets how many items a second a job may do.")
      .usage("[options] [job...] <items/s>")
      .addArgument(jobsAnd("job", "items per second, or unlimited"))
      .addOption(durationOption("--for <time>", "for so long, then back to what it was", "366d")),
    async (invocation, words: string[], options: SteerOptions) => (await steer()).speed(invocation, words, options),
  );
  verb(
    withMany(withReceipt(program.command("level").summary("set the lowest level that jobs send")))
      .description("Sets the lowest level of lines that a job sends.")
      .usage("[options] [job...] <level>")
      .addArgument(jobsAnd("job-or-level", "a level, or 0 (error), 1 (info), 2 (debug)"))
      .addOption(durationOption("--for <time>", "for so long, then back to what it was", "366d")),
    async (invocation, words: string[], options: SteerOptions) => (await steer()).level(invocation, words, options),
  );
  verb(
    withMany(withReceipt(program.command("priority").summary("set the place of waiting jobs in the queue")))
      .description("Sets the place of a waiting job in the queue. Refused for a job that runs.")
      .usage("[options] [job...] <number>")
      .addArgument(jobsAnd("job", "a number from -100 to 100; higher goes first, 0 is normal"))
      // So that -5 is a number, not an option.
      .allowUnknownOption(),
    async (invocation, words: string[], options: SteerOptions) => (await steer()).priority(invocation, words, options),
  );
  verb(
    withReceipt(program.command("set").summary("change a job's parameters").addArgument(job()))
      .description("Changes parameters of a job and keeps its others. What a value is follows from the type's schema.")
      .addArgument(new Argument("[key=value...]", "parameters"))
      .option("--unset <key>", "leave a parameter out; may be repeated", collect),
    async (invocation, ref: string, words: string[], options: SteerOptions) =>
      (await steer()).set(invocation, ref, words, options),
  );
  verb(
    program
      .command("withdraw")
      .summary("take a command back")
      .description("Takes back a command that no worker has got yet: the newest one, or the one with a generation.")
      .addArgument(job())
      .argument("[generation]", "of the command, see signalbox job"),
    async (invocation, ref: string, generation: string | undefined) =>
      (await import("./verbs/retry.ts")).withdraw(invocation, ref, generation),
  );
  verb(
    withMany(program.command("retry").summary("run jobs again").addArgument(jobsArgument()))
      .description(
        "Queues another attempt of jobs that failed, were canceled, or have been lost for 45 s; at once of one that waits for its back-off.",
      )
      .option("--set <key=value>", "another value of a parameter, of one job; may be repeated", collect),
    async (invocation, refs: string[], options: SteerOptions) =>
      (await import("./verbs/retry.ts")).retry(invocation, refs, options),
  );
  verb(
    program
      .command("bulk")
      .summary("look after commands to many jobs")
      .description(
        "Lists the commands to many jobs of the last day, shows what became of each job, takes them back while they are held, stops them " +
          "half-way, or does not hold them any longer.",
      )
      .addArgument(
        new Argument("[action]", "what to do").choices(["list", "show", "undo", "stop", "release"]).default("list"),
      )
      .argument("[id]", "which, as the list has it")
      .option("--wide", "do not cut columns to the width of the terminal"),
    async (invocation, action: BulkAction, id: string | undefined, options: object) =>
      (await import("./verbs/bulk.ts")).bulk(invocation, action, id, options),
  );
  verb(
    program
      .command("give-up")
      .summary("end a lost job without its worker's word")
      .description("Ends the attempt of a job that has been lost for 45 s. Its process may still run.")
      .addArgument(job())
      .option("--reason <text>", "why, for people"),
    async (invocation, ref: string, options: object) =>
      (await import("./verbs/retry.ts")).giveUp(invocation, ref, options),
  );
  verb(
    program
      .command("send")
      .summary("send input into a running job")
      .description(
        "Sends a text, or else standard input, into a running job; or a file of which the job has the beginning already, from where that " +
          "ends.",
      )
      .addArgument(job())
      .argument("[text]", "sent as a line; without it standard input is sent as it is")
      .option("--input <file>", "send what the job does not have of a file yet, and end its input")
      .option("--eof", "then end the job's input")
      .option("--no-newline", "send the text without a line end"),
    async (invocation, ref: string, text: string | undefined, options: { newline: boolean }) =>
      (await import("./verbs/send.ts")).send(invocation, ref, text, options),
  );

  verb(
    program
      .command("workers")
      .summary("list workers")
      .description("Lists workers: how they are heard, what they run.")
      .option("-w, --watch", "keep the list up to date until Ctrl+C")
      .option("--wide", "do not cut columns to the width of the terminal"),
    async (invocation, options: object) => (await import("./verbs/workers.ts")).workers(invocation, options),
  );
  verb(
    program
      .command("drain")
      .summary("give a worker no more work")
      .description("Gives a worker no more work, until undrain. What it runs goes on.")
      .addArgument(worker())
      .option("--stop", "release what it runs, and let it exit")
      .option("--reason <text>", "why, for people"),
    async (invocation, id: string, options: object) =>
      (await import("./verbs/workers.ts")).drain(invocation, id, options),
  );
  verb(
    program
      .command("undrain")
      .summary("let a worker have work again")
      .description("Lets a worker have work again.")
      .addArgument(worker()),
    async (invocation, id: string) => (await import("./verbs/workers.ts")).undrain(invocation, id),
  );
  verb(
    program
      .command("limits")
      .summary("list or set how many jobs may run at the same time")
      .description(
        "Lists how many jobs of a type or with a label may run at the same time, how many do, and how many wait for that. `set` replaces " +
          "what a worker declares for its type; `lift` takes back what was set.",
      )
      .addArgument(new Argument("[action]", "what to do").choices(["list", "set", "lift"]).default("list"))
      .argument("[limit]", "type=NAME, label=KEY=VALUE, or label=KEY for each value of a label")
      .argument("[number]", "with set: how many"),
    async (invocation, action: "list" | "set" | "lift", what: string | undefined, number: string | undefined) =>
      (await import("./verbs/limits.ts")).limits(invocation, action, what, number),
  );
  verb(
    program
      .command("spool")
      .summary("list or deliver what killed processes left")
      .description(
        "Lists output that is kept on this machine because the server did not have it yet; delivers what processes left that are " +
          "gone; writes out what cannot be delivered, or removes it.",
      )
      .addArgument(
        new Argument("[action]", "what to do").choices(["list", "deliver", "export", "remove"]).default("list"),
      )
      .argument(
        "[spool...]",
        "beginnings of names, as the list has them (default for deliver: all that are for this server)",
      )
      .option("--all", "deliver jobs, too, that began under another address and that no server knows")
      .option("--dir <folder>", "the folder (default: SIGNALBOX_SPOOL_DIR, or spool in the data folder)")
      .option("--wide", "do not cut columns to the width of the terminal"),
    async (invocation, action: SpoolAction, names: string[], options: object) =>
      (await import("./verbs/spool.ts")).spool(invocation, action, names, options),
  );
  verb(
    program
      .command("audit")
      .summary("print who did what, or check that nobody changed it")
      .description(
        "Prints who did what, oldest first: what was asked of jobs and what became of it, what was refused, sign-ins, drains, limits. " +
          "verify checks the chains of all histories and ends with 1 if one does not hold.",
      )
      .addArgument(new Argument("[action]", "what to do").choices(["list", "verify"]).default("list"))
      .option("--job <job>", "only of this job")
      .option("--actor <text>", "only by actors whose name or address holds this text")
      .addOption(new Option("--by <kind...>", "only by these kinds of actors").choices(actorChoices))
      .addOption(new Option("--kind <kind...>", "only these kinds of rows").choices(auditChoices))
      .option("--refused", "only what was refused")
      .option("--text <text>", "only rows in whose words, values, reason, job name or job id this text is")
      .option("--since <time>", "not before: 10m, 2h (so long ago) or 2026-11-21T18:00")
      .option("--until <time>", "before this time")
      .option("--limit <number>", "the newest so many; 0: all", wholeNumber, 100)
      .option("-f, --follow", "go on as it happens, until Ctrl+C")
      .option("--wide", "do not cut columns to the width of the terminal"),
    async (invocation, action: "list" | "verify", options: AuditOptions) => {
      const verbs = await import("./verbs/audit.ts");
      return action === "verify" ? verbs.verify(invocation) : verbs.audit(invocation, options);
    },
  );
  verb(
    program
      .command("types")
      .summary("list job types")
      .description("Lists the job types that connected workers offer; one of them with its parameters.")
      .addArgument(new Argument("[type]", "only this one, with its parameters")),
    async (invocation, type: string | undefined) => (await import("./verbs/types.ts")).types(invocation, type),
  );

  verb(
    program
      .command("login")
      .summary("remember a server and its token")
      .description("Checks a token against a server, and remembers both for this user.")
      .argument("[url]", "the server's port for workers and programs, such as http://127.0.0.1:9090")
      .option("--token-stdin", "read the token from standard input")
      .option("--token-file <file>", "read the token from a file"),
    async (invocation, url: string | undefined, options: object) =>
      (await import("./verbs/login.ts")).login(invocation, url, options),
  );
  verb(
    program.command("logout").summary("forget them").description("Forgets what login has remembered."),
    async (invocation) => (await import("./verbs/login.ts")).logout(invocation),
  );
  verb(
    program
      .command("link")
      .summary("print a link that signs a browser in")
      .description("Prints a link that signs a browser in, once, within 15 minutes.")
      .option("--from <url>", "where browsers reach the server (default: known for a server on this machine)"),
    async (invocation, options: object) => (await import("./verbs/login.ts")).link(invocation, options),
  );
  program
    .command("completion")
    .summary("print a script that completes this command")
    .description("Prints a script that completes verbs, options, jobs, types and workers.")
    .addArgument(new Argument("<shell>").choices(["bash", "zsh", "fish"]))
    .addHelpText("after", completionHelp)
    .action(async (shell: "bash" | "zsh" | "fish") => {
      process.stdout.write((await import("./completion-scripts.ts")).completionScript(shell));
    });
  program
    .command("complete", { hidden: true })
    .argument("[words...]")
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .action(async (words: string[]) => {
      const { complete } = await import("./completion.ts");
      process.stdout.write(await complete(createProgram(version, { exitCode: 0 }), words));
    });
  for (const each of [program, ...program.commands])
    each
      .exitOverride()
      .showHelpAfterError("Try --help.")
      .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "signalbox: ")) });
  return program;
}

/** The exit code of what a parser of command lines throws. */
export function parserExitCode(error: CommanderError): number {
  return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
}

const completionHelp = `
Load it:
  bash   source <(signalbox completion bash)
  zsh    source <(signalbox completion zsh)
  fish   signalbox completion fish | source`;

function withCommonOptions(command: Command, json: "with --json" | "without --json" = "with --json"): Command {
  const common = (flags: string, about: string) => new Option(flags, about).helpGroup("Options of every verb:");
  command.addOption(common("--url <url>", "the server's port for workers and programs"));
  if (json === "with --json") command.addOption(common("--json", "print JSON, one object a line"));
  return command
    .addOption(common("-q, --quiet", "say nothing beside the output"))
    .addOption(common("--verbose", "say more about what went wrong"))
    .addOption(common("--color <when>", "colours").choices(["auto", "always", "never"]));
}

function withReceipt(command: Command): Command {
  return command
    .option("--no-wait", "do not wait until the worker has put it into effect")
    .addOption(durationOption("--timeout <time>", "wait for at most so long (default: 10s)"));
}

/** Options of verbs that may command many jobs. */
function withMany(command: Command): Command {
  const many = (flags: string, about: string) => new Option(flags, about).helpGroup("Options for many jobs:");
  const states = many("--state <state>", "all in this state; may be repeated").choices(stateWords);
  return command
    .addOption(
      states.argParser((word: string, before: string[] | undefined) => {
        if (!stateWords.some((each) => each === word))
          throw new InvalidArgumentError(`Allowed choices are ${stateWords.join(", ")}.`);
        return collect(word, before);
      }),
    )
    .addOption(many("--type <type>", "all of this type"))
    .addOption(
      many("--label <key=value>", "all with this label, or with key alone; may be repeated").argParser(collect),
    )
    .addOption(many("--worker <worker>", "all whose newest attempt is this worker's"))
    .addOption(many("--text <text>", "all with this in their name or id"))
    .addOption(many("--all", "all"))
    .addOption(many("-y, --yes", "do not ask"))
    .addOption(
      durationOption("--hold <time>", "how long it is held and can be undone; 0: not at all (default: 5s)").helpGroup(
        "Options for many jobs:",
      ),
    )
    .addOption(many("--rate <jobs/s>", "at most so many jobs a second (default: 100)").argParser(positiveNumber));
}

/** `most` is the longest that it takes, if there is a bound. */
function durationOption(flags: string, description: string, most?: string): Option {
  return new Option(flags, description).argParser((text: string) => {
    let ms: number;
    try {
      ms = parseDuration(text);
    } catch (error) {
      throw error instanceof CliError ? new InvalidArgumentError(`${error.message} ${error.hint}`) : error;
    }
    if (most !== undefined && ms > parseDuration(most)) throw new InvalidArgumentError(`Give at most ${most}.`);
    return ms;
  });
}

function bytesOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser((text: string) => {
    try {
      return parseBytes(text);
    } catch (error) {
      throw error instanceof TypeError ? new InvalidArgumentError(error.message) : error;
    }
  });
}

function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("Give a whole number.");
  return Number(text);
}

function positiveNumber(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError("Give a whole number from 1 on.");
  return Number(text);
}

function positiveRate(text: string): number {
  const rate = /^\d{1,9}(?:\.\d{1,9})?$/.test(text) ? Number(text) : 0;
  if (rate === 0) throw new InvalidArgumentError("Give a number of events a second, above 0.");
  return rate;
}

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}
