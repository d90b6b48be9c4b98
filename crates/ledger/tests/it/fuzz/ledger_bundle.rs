//! Bundles: any bytes are taken or refused, and a half is installed whole or not at all.

use symbolon_ledger::MemoryMaterial;
use symbolon_ledger::bundle::Bundle;

pub(crate) fn run(data: &[u8]) {
    let path = std::env::temp_dir().join(format!("symbolon-fuzz-bundle-{}", std::process::id()));
    std::fs::write(&path, data).unwrap();
    let _ = Bundle::is_protected(&path);
    if let Ok(bundle) = Bundle::open(&path) {
        let material = MemoryMaterial::new();
        let installed = bundle.install(&mut material.sink());
        assert!(installed.is_err() || installed.unwrap() == bundle.header().pad);
    }
    std::fs::remove_file(&path).unwrap();
}
