//! Every law of stores, on every database.

#[cfg(all(feature = "conformance", feature = "sqlite"))]
mod sqlite {
    sessile::conformance_laws!(crate::sql::places::sqlite());
}

#[cfg(all(feature = "conformance", feature = "postgres"))]
mod postgres {
    sessile::conformance_laws!(match crate::sql::places::postgres() {
        Some(tables) => tables,
        None => return,
    });
}

#[cfg(all(feature = "conformance", feature = "mysql"))]
mod mysql {
    sessile::conformance_laws!(match crate::sql::places::mysql() {
        Some(tables) => tables,
        None => return,
    });
}
