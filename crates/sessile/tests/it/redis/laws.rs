//! Every law of stores, on one server of either kind and on a Cluster.

use super::servers;

mod single {
    sessile::conformance_laws!(match super::servers::single() {
        Some(place) => place,
        None => return,
    });
}

mod valkey {
    sessile::conformance_laws!(match super::servers::valkey() {
        Some(place) => place,
        None => return,
    });
}

mod cluster {
    sessile::conformance_laws!(match super::servers::cluster() {
        Some(place) => place,
        None => return,
    });
}
