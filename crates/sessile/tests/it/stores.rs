//! Every store under every law.

use std::sync::Arc;

use async_trait::async_trait;
use sessile::SessionId;
use sessile::conformance::Place;
use sessile::store::{MemoryStore, Store};

mod memory {
    use super::*;

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

    sessile::conformance_laws!(Memory(MemoryStore::new()));
}
