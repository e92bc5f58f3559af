//! The file store through its public async face, each operation beside the bare system calls it is
//! made of, in the same run on the same file system. With `--stores`, every store beside one round trip.

mod calls;
mod floor;
mod fs;
mod options;
mod report;
mod rounds;
mod scale;
mod store;
#[cfg(feature = "stores")]
mod stores;
#[cfg(feature = "stores")]
mod trip;

use std::process::ExitCode;

use options::{Options, Part};

/// Whatever went wrong, in words.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1))
        .map_err(Into::into)
        .and_then(|options| run(&options))
    {
        Ok(code) => code,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Outcome<ExitCode> {
    match &options.part {
        Part::Help => print!("{}", options::HELP),
        Part::Counted { op, times, dir } => calls::child(*op, *times, dir)?,
        Part::Opened { dir } => scale::child(dir)?,
        Part::Stores => every_store(options)?,
        Part::All => return everything(options),
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures every store that this machine has or reaches, and prints the table.
#[cfg(feature = "stores")]
fn every_store(options: &Options) -> Outcome {
    let place = fs::Place::new(options)?;
    println!("File system: {}. {}", fs::describe(place.path())?, report::machine());
    println!();
    print!("{}", stores::table(place.path(), options.rounds)?);
    Ok(())
}

#[cfg(not(feature = "stores"))]
fn every_store(_: &Options) -> Outcome {
    Err("the databases' clients are not built in; ask by `cargo xtask bench --stores`".into())
}

/// Measures all of it in a folder that is removed afterwards, and prints the tables.
fn everything(options: &Options) -> Outcome<ExitCode> {
    let place = fs::Place::new(options)?;
    println!("File system: {}. {}", fs::describe(place.path())?, report::machine());
    println!();
    let times = rounds::measure(place.path(), options.rounds)?;
    let rows = report::rows(&times, &calls::count_all(place.path()));
    print!("{}", report::table(&rows));
    println!();
    print!("{}", scale::table(place.path(), options.sessions)?);
    Ok(report::verdict(&rows, options.check))
}
