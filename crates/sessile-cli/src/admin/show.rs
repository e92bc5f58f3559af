//! `sessile show`: one session as it is stored.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use sessile::store::file::{SlotContent, SlotInspection};
use sessile::store::{Access, FileStore};
use sessile::{Owner, Record, Result, SessionId};
use sessile_demo::say;

use super::{Target, plain, time};

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,

    /// The session's public ID, as `sessile list` and logs show it
    #[arg(value_name = "ID")]
    id: SessionId,
}

/// Shows everything but hashes and values: of the data its keys, and how large each value is.
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let (store, id) = (options.target.open()?, options.id);
    let loaded = store.load(id, SystemTime::now(), Access::Read).await?;
    match &loaded {
        Some(loaded) => show(&loaded.record),
        None => eprintln!("there is no live session {id}"),
    }
    if options.target.url.directory().is_some() {
        show_file(&FileStore::open_url(options.target.url.as_str())?, id)?;
    }
    Ok(if loaded.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(record: &Record) {
    let instant = |at: Option<SystemTime>| at.map_or_else(|| "-".into(), time);
    let idle = record.idle_timeout.map(|idle| humantime::format_duration(idle).to_string());
    for (name, value) in [
        ("id", record.id.to_string()),
        ("version", record.version.to_string()),
        ("owner", plain(record.owner.as_ref().map(Owner::as_str))),
        ("level", record.level.to_string()),
        ("created", time(record.created_at)),
        ("authenticated", instant(record.authenticated_at)),
        ("used", time(record.used_at)),
        ("ends", time(record.deadline())),
        ("idle timeout", idle.unwrap_or_else(|| "-".into())),
        ("ends whatever its use", time(record.absolute_deadline)),
        ("outlives the browser", record.persistent.to_string()),
        ("replaced by a login", record.superseded.to_string()),
        ("address", plain(record.client_address.as_deref())),
        ("user agent", plain(record.user_agent.as_deref())),
    ] {
        say(format_args!("{name:22} {value}"));
    }
    for (key, json) in record.data.iter() {
        say(format_args!("{:22} {}: {} bytes", "data", plain(Some(key)), json.len()));
    }
}

fn show_file(store: &FileStore, id: SessionId) -> Result<()> {
    let Some(file) = store.inspect(id)? else { return Ok(()) };
    say(format_args!("{:22} {}", "file", file.path.display()));
    say(format_args!("{:22} {} bytes, {} on the disk", "", file.bytes, file.bytes_on_disk));
    for (name, slot) in ["A", "B"].iter().zip(&file.slots) {
        say(format_args!("{:22} {name}: {}", "slot", content(slot)));
    }
    Ok(())
}

fn content(slot: &SlotInspection) -> String {
    match slot.content {
        SlotContent::Free => "free".into(),
        SlotContent::State { version, body_bytes, tail_offset } => {
            let place = tail_offset.map_or_else(String::new, |at| format!(", from byte {at} on"));
            format!("version {version}, {body_bytes} bytes{place}")
        }
        SlotContent::Tombstone { version } => format!("ended with version {version}"),
        SlotContent::Damaged => "damaged".into(),
        SlotContent::Newer => "written by a newer release".into(),
        _ => "unknown to this release".into(),
    }
}
