//! The tables, by versions that are made one after the other.

use std::sync::Arc;

use super::core::{Core, Work};
use super::driver::{Driver, values};
use super::failure::{Failure, Worked};
use super::link::Link;

/// Which version of the schema a database has. It never changes itself.
const VERSION_TABLE: &str = "CREATE TABLE IF NOT EXISTS {schema} (version BIGINT PRIMARY KEY)";

/// Makes what is missing of the tables.
pub(super) struct Migrate;

/// Several processes may start at once; each step is one that may find itself done already.
const ROUNDS_MAX: usize = 16;

impl<D: Driver> Work<D> for Migrate {
    type Output = ();
    const DOING: &'static str = "cannot make the session tables";

    async fn run(&self, link: &mut Link<D>) -> Worked<()> {
        for _ in 1..ROUNDS_MAX {
            match migrate(link).await {
                Err(failure) if was_beaten(&failure) => link.clear().await,
                done => return done,
            }
        }
        migrate(link).await
    }
}

async fn migrate<D: Driver>(link: &mut Link<D>) -> Worked<()> {
    let steps = steps(link.core());
    // Whoever may not make tables need not, once they are there.
    let newest = (1..).zip(&steps).last().map_or(0, |(number, _)| number);
    if version(link).await.is_ok_and(|version| version >= newest) {
        return Ok(());
    }
    link.script(link.core().text(VERSION_TABLE)).await?;
    let version = version(link).await?;
    for (number, step) in (1..).zip(steps).filter(|(number, _)| *number > version) {
        link.begin().await?;
        link.script(step).await?;
        let insert = link.core().text("INSERT INTO {schema} (version) VALUES (?)");
        link.execute(insert, values![number]).await?;
        link.commit().await?;
    }
    Ok(())
}

async fn version<D: Driver>(link: &mut Link<D>) -> Worked<i64> {
    let select = link.core().text("SELECT version FROM {schema} ORDER BY version DESC LIMIT 1");
    let row = link.fetch_first(select, values![]).await?;
    row.map_or(Ok(0), |row| Ok(D::int(&row, 0)?))
}

fn steps<D: Driver>(core: &Core<D>) -> Vec<Arc<str>> {
    D::DIALECT.schema.iter().map(|step| core.text(step)).collect()
}

/// Whether another process made the same step at the same moment. PostgreSQL's `IF NOT EXISTS` does
/// not exclude that, and says so by a duplicate of the table, of its type or in the catalogue.
fn was_beaten(failure: &Failure) -> bool {
    let duplicate = failure.is_unique_violation() || failure.has_code(&["42P07", "42710"]);
    duplicate || failure.was_undone()
}

/// All steps as one text.
pub(super) fn script<D: Driver>(core: &Core<D>) -> String {
    let mut script = vec![format!("{};", core.text(VERSION_TABLE))];
    for (number, step) in (1..).zip(steps(core)) {
        let noted = D::DIALECT.note_version.replace("{version}", &i64::to_string(&number));
        script.extend([step.trim().to_owned(), format!("{};", core.text(&noted))]);
    }
    script.join("\n") + "\n"
}

impl<D: Driver> Core<D> {
    fn text(&self, template: &str) -> Arc<str> {
        D::DIALECT.text(template, &self.names)
    }
}
