//! Two stores as one under every law of stores.

use std::sync::Arc;

use async_trait::async_trait;
use sessile::SessionId;
use sessile::conformance::Place;
use sessile::store::{MemoryStore, Migrating, Store};

/// How two stores become one.
type Join = fn(Arc<dyn Store>, Arc<dyn Store>) -> sessile::Result<Migrating>;

struct Two<P> {
    old: P,
    new: MemoryStore,
    join: Join,
}

#[async_trait]
impl<P: Place> Place for Two<P> {
    async fn open(&self, namespace: &str) -> Arc<dyn Store> {
        let new: Arc<dyn Store> = Arc::new(self.new.clone().with_namespace(namespace));
        Arc::new((self.join)(self.old.open(namespace).await, new).unwrap())
    }

    async fn damage(&self, namespace: &str, id: SessionId) -> bool {
        self.old.damage(namespace, id).await
    }
}

struct Memory(MemoryStore);

#[async_trait]
impl Place for Memory {
    async fn open(&self, namespace: &str) -> Arc<dyn Store> {
        Arc::new(self.0.clone().with_namespace(namespace))
    }

    async fn damage(&self, _namespace: &str, _id: SessionId) -> bool {
        false
    }
}

fn two(join: Join) -> Two<Memory> {
    Two { old: Memory(MemoryStore::new()), new: MemoryStore::new(), join }
}

#[cfg(feature = "file")]
mod about_to_leave_files {
    use super::*;
    use crate::stores::file::Files;

    fn from_files() -> Two<Files> {
        Two { old: Files::new(), new: MemoryStore::new(), join: Migrating::prepare }
    }

    sessile::conformance_laws!(from_files());
}

mod about_to_leave_memory {
    use super::*;
    sessile::conformance_laws!(two(Migrating::prepare));
}

mod on_the_way_from_memory {
    use super::*;
    sessile::conformance_laws!(two(Migrating::new));
}
